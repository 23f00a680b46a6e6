//! Cache mounts that travel with caches: `--cache-to …,mounts=true`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use slipway_tests::object_stores::{Actions, ObjectStore};
use slipway_tests::{Daemon, Fake, Outcome, Project};

/// Fills the mount if it is new, changes little of it if not, and says what is in it.
const DOCKERFILE: &str = r#"FROM BUSYBOX
ARG ROUND
RUN --mount=type=cache,id=big,target=/big \
    if [ -e /big/data ]; then echo "$ROUND" >> /big/data; else \
      dd if=/dev/urandom of=/big/data bs=1M count=24 2>/dev/null; \
      mkdir /big/dir && echo small > /big/dir/file && chown 12:34 /big/dir/file && chmod 4750 /big/dir/file && \
      ln /big/dir/file /big/dir/hard && ln -s ../nowhere /big/dir/soft && touch -d '2001-02-03 04:05:06' /big/dir/file && \
      chmod 1777 /big/dir && chown 56:78 /big && echo x > /big/dir/.wh.name; \
    fi; \
    mkdir /out && wc -c < /big/data > /out/size && md5sum < /big/data > /out/sum && \
    stat -c '%a %u %g %h %Y' /big/dir/file > /out/file && stat -c '%a %u %g' /big/dir /big > /out/dirs && \
    readlink /big/dir/soft > /out/soft && ls -A /big/dir > /out/names
RUN --mount=type=cache,id=owned,target=/owned,uid=1000,gid=1001,mode=0750 \
    echo "$ROUND" >> /owned/rounds; stat -c '%a %u %g' /owned > /out/owned; cp /owned/rounds /out/rounds
FROM scratch
COPY --from=0 /out /
"#;

struct World {
    fake: Fake,
    project: Project,
}

impl World {
    fn new() -> Self {
        let fake = Fake::with_busybox();
        let project = Project::new(&fake.busybox(), DOCKERFILE);
        Self { fake, project }
    }

    /// What is in the result, and what the client said.
    fn build(&self, daemon: &Daemon, round: &str, caches: &[&str]) -> (BTreeMap<String, String>, Outcome) {
        let out = Project::empty();
        let round = format!("ROUND={round}");
        let build = daemon.build(&self.project).args(["--build-arg", &round]).args(caches).to(out.path());
        let outcome = build.succeed();
        let files = fs::read_dir(out.path()).expect("a folder").map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("a text"))
        });
        (files.collect(), outcome)
    }
}

/// Sizes of the blobs of a layout.
fn blobs(layout: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(layout.join("blobs/sha256")).expect("blobs");
    let blob = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("a file").len())
    };
    entries.map(|entry| blob(entry.expect("an entry"))).collect()
}

fn check(first: &BTreeMap<String, String>, later: &BTreeMap<String, String>) {
    assert_eq!(first["size"].trim(), (24 << 20).to_string());
    assert_eq!(later["size"].trim(), ((24 << 20) + 2).to_string(), "what was there is there again");
    for name in ["file", "dirs", "soft", "names", "owned"] {
        assert_eq!(first[name], later[name], "{name}");
    }
    assert_eq!(later["file"].trim(), "4750 12 34 2 981173106");
    assert_eq!(later["dirs"].lines().collect::<Vec<_>>(), ["1777 0 0", "755 56 78"]);
    assert_eq!(later["owned"].trim(), "750 1000 1001");
    assert!(later["names"].contains(".wh.name"), "{}", later["names"]);
    assert_eq!(later["rounds"], "1\n2\n");
}

#[test]
fn a_folder_carries_them_and_a_small_change_is_small() {
    let world = World::new();
    let folder = Project::empty();
    let cache = folder.join("cache");
    let (export, import) = (
        format!("type=local,dest={},mode=max,mounts=true", cache.display()),
        format!("type=local,src={}", cache.display()),
    );
    let (first, _) = world.build(&Daemon::start(), "1", &["--cache-to", &export]);
    let before = blobs(&cache);
    let whole: u64 = before.values().sum();
    assert!(whole > 24 << 20, "{whole}");
    // Elsewhere, one line is added, and both are written again.
    let (later, outcome) =
        world.build(&Daemon::start(), "2", &["--cache-from", &import, "--cache-to", &export]);
    check(&first, &later);
    assert!(outcome.told().contains("restoring cache mount /big"), "{}", outcome.told());
    let after = blobs(&cache);
    let new: u64 = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, size)| size).sum();
    println!("first {whole} bytes, then {new} ({:.2} %)", new as f64 * 100.0 / whole as f64);
    assert!(new * 20 < whole, "{new} of {whole} bytes were written again");
    // A third has the second's.
    let (third, _) = world.build(&Daemon::start(), "3", &["--cache-from", &import]);
    assert_eq!(third["rounds"], "1\n2\n3\n");
    // Who does not want them begins anew.
    let (without, _) =
        world.build(&Daemon::start(), "4", &["--cache-from", &format!("{import},mounts=false")]);
    assert_eq!(without["rounds"], "4\n");
}

#[test]
fn registries_and_object_stores_carry_them() {
    let world = World::new();
    let actions = Actions::start();
    let (s3, azure) = (ObjectStore::s3(), ObjectStore::azure());
    let mut places = vec![
        format!("type=registry,ref={}", world.fake.image("cache:1")),
        format!("type=registry,ref={},image-manifest=false", world.fake.image("cache:2")),
        actions.options("refs/heads/main"),
    ];
    places.extend(s3.as_ref().map(ObjectStore::s3_options));
    places.extend(azure.as_ref().map(ObjectStore::azure_options));
    let one = Daemon::start();
    for place in places {
        let import = place.replace(",image-manifest=false", "");
        let export = format!("{place},mode=max,mounts=true");
        // The first daemon's mounts grow with each place.
        let (first, _) = world.build(&one, "1", &["--cache-to", &export]);
        actions.clear_log();
        world.fake.clear_log();
        let other = Daemon::start();
        let (later, outcome) = world.build(&other, "2", &["--cache-from", &import, "--cache-to", &export]);
        assert_eq!(later["rounds"], format!("{}2\n", first["rounds"]), "{place}: {}", outcome.told());
        assert_eq!(first["file"], later["file"], "{place}");
        if place.starts_with("type=gha") {
            let sent = actions.log().into_iter().filter(|asked| asked.method == "PUT");
            let sent: usize = sent.map(|asked| asked.body_length).sum();
            assert!(sent < (24 << 20) / 20, "{sent} bytes were sent again");
        }
        // All of it hits, and the mounts are handed on though no step runs and none is here.
        let third = Daemon::start();
        let (_, outcome) = world.build(&third, "2", &["--cache-from", &import, "--cache-to", &export]);
        assert!(outcome.progress().ran().iter().all(|name| !name.contains("RUN")), "{}", outcome.told());
        let (fourth, _) = world.build(&Daemon::start(), "3", &["--cache-from", &import]);
        assert_eq!(fourth["rounds"], format!("{}3\n", later["rounds"]), "{place}");
    }
}

#[test]
fn only_what_is_asked_for_travels() {
    let world = World::new();
    let folder = Project::empty();
    let cache = folder.join("cache");
    let export = format!("type=local,dest={},mounts=owned", cache.display());
    let one = Daemon::start();
    world.build(&one, "1", &["--cache-to", &export]);
    assert!(blobs(&cache).values().sum::<u64>() < 24 << 20);
    let import = format!("type=local,src={}", cache.display());
    let (later, _) = world.build(&Daemon::start(), "2", &["--cache-from", &import]);
    assert_eq!((later["rounds"].as_str(), later["size"].trim()), ("1\n2\n", (24 << 20).to_string().as_str()));
}

/// A cache whose packs are not what they should be costs the contents of a mount, not the build.
#[test]
fn damaged_packs_leave_a_mount_empty() {
    let world = World::new();
    let folder = Project::empty();
    let cache = folder.join("cache");
    world.build(
        &Daemon::start(),
        "1",
        &["--cache-to", &format!("type=local,dest={},mounts=true", cache.display())],
    );
    for (name, size) in blobs(&cache) {
        if size > 1 << 20 {
            let path = cache.join("blobs/sha256").join(name);
            let mut bytes = fs::read(&path).expect("a blob");
            bytes[4096] ^= 0xff;
            fs::write(&path, bytes).expect("a blob");
        }
    }
    let import = format!("type=local,src={}", cache.display());
    let daemon = Daemon::start();
    let (later, outcome) = world.build(&daemon, "2", &["--cache-from", &import]);
    assert_eq!(later["size"].trim(), (24 << 20).to_string(), "made anew");
    assert!(outcome.told().contains("begins empty"), "{}", outcome.told());
    daemon.assert_usable();
}
