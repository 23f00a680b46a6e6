//! Caches that travel: what one daemon built, another need not.

use std::fs;
use std::path::{Path, PathBuf};

use slipway_fakes::{Fault, FaultKind};
use slipway_tests::{Daemon, End, Fake, Outcome, Project, golden_caches};

/// Three results on the way, and a stage that is not part of the last.
const DOCKERFILE: &str = "FROM BUSYBOX AS tool\nRUN echo tool > /tool\nFROM BUSYBOX\nRUN echo one > /one\n\
    COPY a.txt /a.txt\nCOPY --from=tool /tool /copied\nRUN cat /a.txt > /b.txt\n";

const STEPS: usize = 5;

struct World {
    fake: Fake,
    project: Project,
    out: Project,
}

fn world() -> World {
    let fake = Fake::with_busybox();
    let project = Project::new(&fake.busybox(), DOCKERFILE).file("a.txt", "first\n");
    World { fake, project, out: Project::empty() }
}

impl World {
    /// Builds on `daemon`, the result into an archive.
    fn build(&self, daemon: &Daemon, arguments: &[&str]) -> Outcome {
        let archive = format!("type=oci,dest={}", self.out.join("image.tar").display());
        daemon.build(&self.project).args(arguments).output(archive).succeed()
    }

    /// Builds on a daemon that nobody has used, with `import` only; gives how many steps hit.
    fn cached(&self, import: &str) -> usize {
        let outcome = self.build(&Daemon::start(), &["--cache-from", import]);
        outcome.progress().cached().len()
    }

    fn cache(&self) -> PathBuf {
        self.out.join("cache")
    }

    /// The manifest of the cache in the folder.
    fn manifest(&self) -> serde_json::Value {
        let index = json(&self.cache().join("index.json"));
        assert!(index["manifests"][1].is_null(), "{index:#}");
        json(&blob(&self.cache(), index["manifests"][0]["digest"].as_str().expect("a digest")))
    }
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

#[test]
fn a_registry_carries_a_cache_in_each_form() {
    let world = world();
    let first = Daemon::start();
    for (form, media_type) in [
        ("", "application/vnd.oci.image.manifest.v1+json"),
        (",image-manifest=false", "application/vnd.oci.image.index.v1+json"),
        (",oci-mediatypes=false", "application/vnd.docker.distribution.manifest.list.v2+json"),
        (",compression=zstd,force-compression=true", "application/vnd.oci.image.manifest.v1+json"),
    ] {
        let reference = world.fake.image("cache:1");
        let export = format!("type=registry,ref={reference},mode=max{form}");
        world.build(&first, &["--cache-to", &export]);
        assert_eq!(world.fake.manifest("cache", "1").unwrap().0, media_type, "{form}");
        assert_eq!(world.cached(&format!("type=registry,ref={reference}")), STEPS, "{form}");
    }
    world.fake.clear_log();
    world.build(
        &first,
        &["--cache-to", &format!("type=registry,ref={},mode=max", world.fake.image("cache:1"))],
    );
    let sent = world.fake.count("POST", "/blobs/uploads/");
    assert_eq!(sent, 0, "what is there is not sent again");
}

#[test]
fn a_folder_carries_a_cache() {
    let world = world();
    let folder = world.cache().display().to_string();
    let first = Daemon::start();
    world.build(&first, &["--cache-to", &format!("type=local,dest={folder},mode=max")]);
    let config = world.manifest()["config"].clone();
    assert_eq!(config["mediaType"], "application/vnd.buildkit.cacheconfig.v0");
    let import = format!("type=local,src={folder}");
    assert_eq!(world.cached(&import), STEPS);

    // An edit: what stands on it runs, and nothing else.
    world.project.write("a.txt", "second\n");
    let outcome = world.build(&Daemon::start(), &["--cache-from", &import]);
    let progress = outcome.progress();
    let ran = progress.ran();
    assert_eq!(ran.len(), 3, "{ran:?}");
    assert_eq!(progress.cached().len(), STEPS - 3, "{}", outcome.told());
    assert!(ran.iter().all(|name| !name.contains("echo")), "{ran:?}");
}

#[test]
fn a_minimal_cache_holds_what_the_result_is_made_of() {
    let world = world();
    let folder = world.cache().display().to_string();
    let first = Daemon::start();
    let layers = |world: &World| world.manifest()["layers"].as_array().unwrap().len();
    world.build(&first, &["--cache-to", &format!("type=local,dest={folder}")]);
    assert_eq!(layers(&world), 5, "the base and four steps");
    assert_eq!(world.cached(&format!("type=local,src={folder}")), STEPS);
    world.build(&first, &["--cache-to", &format!("type=local,dest={folder},mode=max")]);
    assert_eq!(layers(&world), 6, "the tool's stage, too");
}

#[test]
fn a_cached_result_is_fetched_by_who_reads_it() {
    let world = world();
    let cache = format!("type=registry,ref={}", world.fake.image("cache:1"));
    let first = Daemon::start();
    world.build(&first, &["--cache-to", &format!("{cache},mode=max")]);
    let layers = world.fake.manifest("cache", "1").expect("a cache").1;
    let layers: serde_json::Value = serde_json::from_slice(&layers).expect("JSON");
    let layers: Vec<&str> =
        layers["layers"].as_array().unwrap().iter().filter_map(|layer| layer["digest"].as_str()).collect();
    let fetched =
        || layers.iter().filter(|layer| world.fake.count("GET", &format!("/blobs/{layer}")) > 0).count();

    let second = Daemon::start();
    world.fake.clear_log();
    let build = || second.build(&world.project).args(["--cache-from", &cache, "--output", "type=cacheonly"]);
    let progress = build().succeed().progress();
    assert_eq!((progress.cached().len(), progress.ran().len()), (STEPS, 0), "{progress:#?}");
    assert_eq!(fetched(), 0, "nobody has read the result");
    world.build(&second, &["--cache-from", &cache]);
    assert_eq!(fetched(), 5, "of six layers, all but the tool's");
    // Once it is here, it is known without the cache; the tool's never came.
    let progress = world.build(&second, &[]).progress();
    assert!(progress.ran().iter().all(|name| name.contains("echo tool")), "{progress:#?}");
}

#[test]
fn an_image_carries_its_cache() {
    let world = world();
    let image = world.fake.image("app:1");
    let first = Daemon::start();
    let build = first.build(&world.project).arg("--push").tag(&image).args(["--cache-to", "type=inline"]);
    build.succeed();
    assert_eq!(world.cached(&image), STEPS);
}

#[test]
fn an_image_carries_on_the_cache_that_it_came_from() {
    let world = world();
    let (one, two) = (world.fake.image("app:1"), world.fake.image("app:2"));
    let push = |image: &str, more: &[&str]| {
        let daemon = Daemon::start();
        let build = daemon.build(&world.project).args(more).arg("--push").tag(image);
        build.args(["--cache-to", "type=inline"]).succeed();
    };
    push(&one, &[]);
    // All hits: what is between the base and the last result is not read by anybody.
    push(&two, &["--cache-from", &one]);
    assert_eq!(world.cached(&two), STEPS);
    world.project.write("a.txt", "second\n");
    let cached = world.cached(&one);
    assert!(cached > 0);
    assert_eq!(world.cached(&two), cached);
}

#[test]
fn what_was_imported_is_given_on() {
    let world = world();
    let (one, two) = (world.fake.image("cache:one"), world.fake.image("cache:two"));
    world.build(&Daemon::start(), &["--cache-to", &format!("type=registry,ref={one},mode=max")]);
    // All hits: only the last result is fetched, and the others are passed on from where they are.
    let export = format!("type=registry,ref={two},mode=max");
    world.build(&Daemon::start(), &["--cache-from", &one, "--cache-to", &export]);
    world.project.write("a.txt", "second\n");
    let outcome = world.build(&Daemon::start(), &["--cache-from", &two]);
    assert_eq!(outcome.progress().cached().len(), STEPS - 3, "{}", outcome.told());
}

#[test]
fn several_at_once() {
    let world = world();
    let folder = world.cache().display().to_string();
    let (local, remote) = (format!("type=local,dest={folder}"), world.fake.image("cache:1"));
    world.build(&Daemon::start(), &["--cache-to", &local, "--cache-to", &remote]);
    assert_eq!(world.cached(&remote), STEPS);
    assert_eq!(world.cached(&format!("type=local,src={folder}")), STEPS);
}

#[test]
fn a_cache_that_is_not_there_is_a_warning() {
    let world = world();
    let daemon = Daemon::start();
    let missing = world.fake.image("nobody:1");
    let nowhere = format!("type=local,src={}", world.out.join("nowhere").display());
    let outcome = world.build(&daemon, &["--cache-from", &missing, "--cache-from", &nowhere]);
    let progress = outcome.progress();
    let End::Error(reason) = progress.end("importing cache manifest from") else {
        panic!("{}", outcome.told())
    };
    assert!(reason.contains("not found"), "{reason}");
    assert!(outcome.stderr.contains("nowhere"), "{}", outcome.told());
    assert_eq!(progress.ran().len(), STEPS);
    // An image without a cache in it is no cache, and no error.
    let base = world.fake.busybox();
    world.build(&daemon, &["--cache-from", &base]);
    // One that says nonsense is left out, too.
    let kind = "application/vnd.oci.image.manifest.v1+json";
    for config in [&b"{}"[..], br#"{"records":[{"digest":"x","inputs":[[{"link":0}]]}]}"#, b"nonsense"] {
        let digest = world.fake.put_blob("bad", config.to_vec());
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": kind, "layers": [],
            "config": {"mediaType": "application/vnd.buildkit.cacheconfig.v0",
                "digest": digest.to_string(), "size": config.len()},
        });
        world.fake.put_manifest("bad", "1", kind, manifest.to_string());
        world.build(&daemon, &["--cache-from", &world.fake.image("bad:1")]);
    }
    daemon.assert_usable();
}

#[test]
fn a_damaged_layer_costs_its_step() {
    let world = world();
    let folder = world.cache().display().to_string();
    world.build(&Daemon::start(), &["--cache-to", &format!("type=local,dest={folder},mode=max")]);
    for layer in world.manifest()["layers"].as_array().unwrap() {
        let path = blob(&world.cache(), layer["digest"].as_str().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(&path, bytes).unwrap();
    }
    let outcome = world.build(&Daemon::start(), &["--cache-from", &format!("type=local,src={folder}")]);
    assert_eq!(outcome.progress().ran().len(), STEPS, "{}", outcome.told());
    assert!(outcome.stderr.contains("cannot be used"), "{}", outcome.told());
}

#[test]
fn a_cache_that_cannot_be_written() {
    let world = world();
    let daemon = Daemon::start();
    let export = format!("type=registry,ref={}", world.fake.image("cache:1"));
    let refuse = || {
        world.fake.fail(Fault::new(
            "PUT",
            "/manifests/1",
            1,
            FaultKind::Status { status: 403, retry_after: None },
        ))
    };
    refuse();
    daemon.build(&world.project).args(["--cache-to", &export]).run().failed(1, &["cannot export the cache"]);
    refuse();
    world.build(&daemon, &["--cache-to", &format!("{export},ignore-error=true")]);
    for (kind, named) in [("gha", "url_v2"), ("s3", "bucket"), ("azblob", "account_url")] {
        let build = daemon.build(&world.project).args(["--cache-to", &format!("type={kind},mode=max")]);
        build.run().failed(1, &[kind, named, "missing"]);
    }
}

#[test]
fn what_buildkit_exported_hits_step_for_step() {
    let Some(folder) = std::env::var_os("SLIPWAY_GOLDEN").map(PathBuf::from).filter(|folder| folder.is_dir())
    else {
        println!("skipped: SLIPWAY_GOLDEN names no recorded answers");
        return;
    };
    let compared = golden_caches::compare_all(&folder).unwrap();
    assert!(compared.all > 0, "there are no caches in {}", folder.display());
    assert!(
        compared.differences.is_empty(),
        "{} of {}: {:#?}",
        compared.equal,
        compared.all,
        compared.differences
    );
}
