//! Caches in object stores: S3, Azure Blob Storage, the cache of GitHub Actions.

use std::fs;

use slipway_tests::object_stores::{Actions, ObjectStore};
use slipway_tests::{Daemon, Fake, Outcome, Project};

const DOCKERFILE: &str = "FROM BUSYBOX AS tool\nRUN echo tool > /tool\nFROM BUSYBOX\nRUN echo one > /one\n\
    COPY a.txt /a.txt\nCOPY --from=tool /tool /copied\nRUN cat /a.txt > /b.txt\n";

const STEPS: usize = 5;

struct World {
    fake: Fake,
    project: Project,
}

impl World {
    fn new() -> Self {
        let fake = Fake::with_busybox();
        let project = Project::new(&fake.busybox(), DOCKERFILE).file("a.txt", "first\n");
        Self { fake, project }
    }

    fn build(&self, daemon: &Daemon, arguments: &[&str]) -> Outcome {
        let out = Project::empty();
        let archive = format!("type=oci,dest={}", out.join("image.tar").display());
        daemon.build(&self.project).args(arguments).output(archive).succeed()
    }

    /// How many steps hit on a daemon that nobody has used.
    fn cached(&self, import: &str) -> usize {
        let outcome = self.build(&Daemon::start(), &["--cache-from", import]);
        outcome.progress().cached().len()
    }
}

/// What is the same in all places: written, found, read in part, and written again without a byte too many.
fn travels(world: &World, options: &str, secret: &str) {
    let first = Daemon::start();
    // Nothing is there, which is how every cache begins.
    let outcome =
        world.build(&first, &["--cache-from", options, "--cache-to", &format!("{options},mode=max")]);
    assert!(!outcome.told().contains("is not used"), "{}", outcome.told());
    let told = [outcome.stdout(), outcome.stderr.clone()].concat();
    assert!(!told.contains(secret), "a secret in what the client is told: {told}");
    assert!(!first.log().contains(secret), "a secret in the log: {}", first.log());
    let history = first.client(&["history", "inspect", "^0"]).succeeded();
    assert!(!history.told().contains(secret), "a secret in the history: {}", history.told());
    assert_eq!(world.cached(options), STEPS);
    world.project.write("a.txt", "second\n");
    let outcome = world.build(&Daemon::start(), &["--cache-from", options]);
    assert_eq!(outcome.progress().ran().len(), 3, "{}", outcome.told());
    world.project.write("a.txt", "first\n");
}

#[test]
fn a_bucket_carries_a_cache() {
    let Some(store) = ObjectStore::s3() else { return };
    let world = World::new();
    let options = format!("{},session_token=s3ssionT0ken", store.s3_options());
    travels(&world, &options, "s3ssionT0ken");
    // By other names, and refreshed at once: what is there is copied over itself.
    let named = format!("{},prefix=team/,name=one;two,touch_refresh=0", store.s3_options());
    let daemon = Daemon::start();
    world.build(&daemon, &["--cache-to", &named]);
    world.build(&daemon, &["--cache-to", &named]);
    assert!(store.log().contains("Stored object") || store.log().contains("PUT"), "{}", store.log());
    for name in ["one", "two"] {
        let other = format!("{},prefix=team/,name={name}", store.s3_options());
        assert_eq!(world.cached(&other), STEPS, "{name}");
    }
    // An account that is not known is said not to be, and its secret is not told.
    let wrong = store.s3_options().replace("access_key_id=S3RVER", "access_key_id=nobody");
    let wrong = wrong.replace("secret_access_key=S3RVER", "secret_access_key=wr0ngSecret");
    let refused = daemon.build(&world.project).args(["--cache-to", &wrong]).run();
    let refused = refused.failed(1, &["InvalidAccessKeyId"]);
    assert!(!refused.stderr.contains("wr0ngSecret"), "{}", refused.stderr);
    world.build(&daemon, &["--cache-to", &format!("{wrong},ignore-error=true")]);
}

/// Layers above the size of one request go in parts.
#[test]
fn large_layers_go_in_parts() {
    let (s3, azure) = (ObjectStore::s3(), ObjectStore::azure());
    let dockerfile =
        "FROM BUSYBOX\nRUN dd if=/dev/urandom of=/big bs=1M count=40 2>/dev/null\nRUN md5sum /big > /sum\n";
    let fake = Fake::with_busybox();
    let world = World { project: Project::new(&fake.busybox(), dockerfile), fake };
    let daemon = Daemon::start();
    let places = [s3.as_ref().map(ObjectStore::s3_options), azure.as_ref().map(ObjectStore::azure_options)];
    for options in places.into_iter().flatten() {
        world.build(&daemon, &["--cache-to", &format!("{options},mode=max")]);
        assert_eq!(world.cached(&options), 2, "{options}");
    }
    let actions = Actions::start();
    world.build(&daemon, &["--cache-to", &format!("{},mode=max", actions.options("refs/heads/main"))]);
    assert!(actions.log().iter().any(|asked| asked.query.contains("comp=blocklist")));
    assert_eq!(world.cached(&actions.options("refs/heads/main")), 2);
    drop(world.fake);
}

#[test]
fn a_container_carries_a_cache() {
    let Some(store) = ObjectStore::azure() else { return };
    let world = World::new();
    travels(&world, &store.azure_options(), ObjectStore::AZURE_SECRET);
    let daemon = Daemon::start();
    let named = format!("{},container=other,prefix=team,name=one;two", store.azure_options());
    world.build(&daemon, &["--cache-to", &named]);
    assert_eq!(world.cached(&named), STEPS);
    let wrong = store.azure_options().replace(ObjectStore::AZURE_SECRET, "d3Jvbmc=");
    let refused = daemon.build(&world.project).args(["--cache-to", &wrong]).run();
    let refused = refused.failed(1, &["exporting cache to Azure Blob Storage", "403"]);
    assert!(!refused.stderr.contains("d3Jvbmc"), "{}", refused.stderr);
}

#[test]
fn github_actions_carry_a_cache() {
    let actions = Actions::start();
    let world = World::new();
    let main = actions.options("refs/heads/main");
    travels(&world, &main, &actions.token("refs/heads/main"));
    let index = |number: usize| {
        let keys = actions.keys();
        keys.iter()
            .filter(|key| key.starts_with("index-buildkit-1-"))
            .filter(|key| key.ends_with(&format!("#{number}")))
            .count()
    };
    assert_eq!((index(1), index(2)), (1, 0));
    // The signatures of addresses are told to nobody, and tokens to nobody but the service.
    for asked in actions.log() {
        let is_storage = asked.path.starts_with("/storage/");
        assert_eq!(asked.authorization.is_none(), is_storage, "{asked:?}");
    }
    // A branch reads what main wrote, and writes its own; unchanged blobs are not sent again.
    let branch = actions.options("refs/heads/branch");
    actions.clear_log();
    let second = Daemon::start();
    let outcome =
        world.build(&second, &["--cache-from", &branch, "--cache-to", &format!("{branch},mode=max")]);
    assert_eq!(outcome.progress().cached().len(), STEPS, "{}", outcome.told());
    let sent: Vec<_> =
        actions.log().into_iter().filter(|asked| asked.method == "PUT" && asked.body_length > 0).collect();
    assert_eq!(sent.len(), 1, "only the config: {sent:?}");
    // Somebody died with the next number in hand.
    world.build(&second, &["--cache-to", &format!("{main},mode=max")]);
    assert_eq!(index(2), 1);
    // Another scope is another cache.
    assert_eq!(world.cached(&format!("{main},scope=other")), 0);
}

#[test]
fn what_is_damaged_costs_its_step() {
    let Some(store) = ObjectStore::s3() else { return };
    let world = World::new();
    let options = store.s3_options();
    world.build(&Daemon::start(), &["--cache-to", &format!("{options},mode=max")]);
    let mut files = vec![store.data()];
    let mut spoiled = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_string_lossy().contains("sha256") && path.to_string_lossy().ends_with("_object") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled > 0, "{:?}", store.data());
    let outcome = world.build(&Daemon::start(), &["--cache-from", &options]);
    assert_eq!(outcome.progress().ran().len(), STEPS, "{}", outcome.told());
}
