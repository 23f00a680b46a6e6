//! `local` and `tar`.

use slipway_exporter::{ExportSource, PlatformImage};
use slipway_store::SnapshotterChoice;

use crate::support::*;

const FILES: [&str; 7] = [
    "Directory bin",
    "File bin/tool 10",
    "Directory etc",
    "File etc/a 100000",
    "File etc/b 1",
    "HardLink etc/c -> etc/a 100000",
    "Symlink link -> bin/tool",
];

#[tokio::test]
async fn files_are_sent_in_order() {
    for snapshotter in [SnapshotterChoice::Auto, SnapshotterChoice::Native] {
        let Some(arena) = arena(snapshotter) else { return };
        arena.export("local", &[("dest", "out")], &arena.source()).await.unwrap();
        let seen = arena.client.seen.lock().unwrap().clone();
        assert_eq!(seen, FILES);
    }
}

#[tokio::test]
async fn a_tarball_unpacks_to_the_tree() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    arena.export("tar", &[("source-date-epoch", "1000")], &arena.source()).await.unwrap();
    let names = run("tar", &["tvf", arena.file().to_str().unwrap(), "--full-time", "--utc"]).unwrap();
    assert_eq!(names.lines().count(), 7);
    assert!(names.lines().all(|line| line.contains("1970-01-01 00:16:40")), "{names}");
    run("tar", &["-xf", arena.file().to_str().unwrap(), "-C", arena.root().to_str().unwrap()]);
    assert_eq!(std::fs::read(arena.root().join("etc/c")).unwrap().len(), 100_000);
}

#[tokio::test]
async fn platforms_get_folders_or_must_not_overlap() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let tree = arena.tree();
    let other = arena.step(None, "other", |root| std::fs::write(root.join("only-arm"), "").unwrap());
    let images = |second| {
        vec![
            PlatformImage::new("linux/arm64", Some(second), CONFIG),
            PlatformImage::new("linux/amd64", Some(tree.clone()), CONFIG),
        ]
    };
    let source = ExportSource { images: images(other), multi_platform: true, ..Default::default() };
    arena.export("local", &[], &source).await.unwrap();
    let seen = std::mem::take(&mut *arena.client.seen.lock().unwrap());
    assert_eq!(seen[0], "Directory linux_amd64");
    assert_eq!(seen[seen.len() - 2..], ["Directory linux_arm64", "File linux_arm64/only-arm 0"]);
    arena.export("local", &[("platform-split", "false")], &source).await.unwrap();
    assert!(arena.client.seen.lock().unwrap().contains(&"File only-arm 0".to_owned()));
    let source = ExportSource { images: images(tree.clone()), multi_platform: true, ..Default::default() };
    let error = arena.export("local", &[("platform-split", "false")], &source).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot overwrite bin/tool from linux/arm64"), "{error}");
}
