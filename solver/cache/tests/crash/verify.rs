//! What has to be true of whatever the child leaves.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use slipway_store::PruneOptions;
use slipway_store::check::{Finding, Inspection};

use crate::scenario::{Life, report_of};

/// Opened as the next process would; then all that was reported done is there, and nothing else is wrong.
pub(crate) fn all(root: &Path) {
    let report = std::fs::read_to_string(report_of(root)).unwrap_or_default();
    let since_pruning: Vec<&str> = report.lines().rev().take_while(|line| *line != "pruning").collect();
    let built: HashSet<&str> = since_pruning.iter().filter_map(|line| line.strip_prefix("built ")).collect();

    drop(Life::open(root).unwrap());
    assert_eq!(findings(root), [], "once the next process has tidied up");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let life = Life::open(root).unwrap();
    usage_is_exact(root, &life);
    runtime.block_on(async {
        for name in &built {
            let (_, ran) = life.build(name).await.unwrap();
            assert!(ran.is_empty(), "{name} was reported done, but {ran:?} ran again\n{report}");
        }
        // And it goes on as ever.
        life.build("abcd").await.unwrap();
    });
    usage_is_exact(root, &life);
    drop(life);
    assert_eq!(findings(root), [], "after it was used again");

    let life = Life::open(root).unwrap();
    life.store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(life.store.usage(&[]).unwrap(), []);
    assert_eq!(life.records.uses(), []);
    drop(life);
    assert_eq!(findings(root), [], "after pruning");
    assert_eq!(disk_usage(root), 0, "orphans");
}

fn usage_is_exact(root: &Path, life: &Life) {
    let told: u64 = life.store.usage(&[]).unwrap().iter().map(|record| record.size).sum();
    assert_eq!(told, disk_usage(root), "{:#?}", life.store.usage(&[]).unwrap());
}

/// Everything below snapshots and blobs, as `du` counts, but for the folders that keep them apart.
fn disk_usage(root: &Path) -> u64 {
    let mut seen = HashSet::new();
    let snapshots = children(&root.join("snapshots/native"));
    let blobs = children(&root.join("blobs/sha256")).into_iter().flat_map(|folder| children(&folder));
    snapshots.into_iter().chain(blobs).map(|path| count(&path, &mut seen)).sum()
}

fn children(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn count(path: &Path, seen: &mut HashSet<u64>) -> u64 {
    let stat = path.symlink_metadata().unwrap();
    let own = if seen.insert(stat.ino()) { stat.blocks() * 512 } else { 0 };
    let below: u64 =
        if stat.is_dir() { children(path).iter().map(|child| count(child, seen)).sum() } else { 0 };
    own + below
}

fn findings(root: &Path) -> Vec<Finding> {
    let inspection = Inspection::open(root).unwrap();
    let mut findings = inspection.findings(true).unwrap();
    let exists = |name: &str| inspection.has_snapshot(name);
    findings.extend(inspection.ask(|db| slipway_cache::check::check(db, exists)));
    findings
}

/// Whatever is answered from the cache is whole, and what is not is made again.
pub(crate) fn contents(life: &Life) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for name in ["abc", "abqr", "mcno", "xyz", "new"] {
            let (built, _) = life.build(name).await.unwrap();
            for at in 1..=name.len() {
                let file = built.upper_dir().join(&name[..at]);
                assert_eq!(std::fs::read_to_string(file).unwrap(), name[..at].repeat(5000));
            }
            for layer in built.layers(&slipway_store::layer::LayerOptions::default()).unwrap() {
                let digest = layer.descriptor.digest;
                let blob = std::fs::read(life.store.blobs().path(&digest).unwrap().unwrap()).unwrap();
                assert_eq!(slipway_solver::Digest::of(blob), digest.0, "a layer of {name}");
            }
        }
    });
    life.store.flush().unwrap();
}

pub(crate) fn only_damaged_blobs(root: &Path, is_blob: bool) {
    drop(Life::open(root).unwrap());
    let mut left = findings(root);
    left.retain(|finding| !is_blob || !["blob-content", "blob-size"].contains(&finding.kind));
    assert_eq!(left, []);
}

pub(crate) fn pruning_leaves_nothing(root: &Path) {
    let life = Life::open(root).unwrap();
    life.store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    drop(life);
    assert_eq!(findings(root), [], "after pruning");
    assert_eq!(disk_usage(root), 0, "orphans");
}
