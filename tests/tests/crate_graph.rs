//! Who may use whom: the crate graph against the table of `docs/architecture.md`.
//!
//! Dev-dependencies are free: a test may look at anything. Everything else is an edge of the design, and a
//! new one is added here and in the document, with a reason, or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the workspace should fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each room and the rooms that it may use. The table under "The rooms" in `docs/architecture.md` repeats
/// this one; [`the_document_says_the_same`] sees to that.
const MAY_USE: [(&str, &[&str]); 21] = [
    ("model/proto", &[]),
    ("model", &["model/proto"]),
    ("frontend", &["model"]),
    ("frontend/image", &["frontend", "model", "model/proto"]),
    ("solver", &["model"]),
    ("solver/cache", &["model", "solver", "store"]),
    ("store", &["model"]),
    ("store/object", &["model", "store/registry"]),
    ("store/registry", &["model"]),
    ("worker/containerd", &["model", "model/proto", "store", "worker/run"]),
    ("worker/run", &["model"]),
    (
        "worker",
        &[
            "daemon/session",
            "model",
            "model/proto",
            "solver",
            "solver/cache",
            "store",
            "store/registry",
            "worker/run",
        ],
    ),
    ("exporter", &["model", "store", "store/registry"]),
    ("daemon/explain", &["model", "store"]),
    ("daemon/session", &["model", "model/proto"]),
    (
        "daemon",
        &[
            "daemon/explain",
            "daemon/session",
            "exporter",
            "frontend",
            "model",
            "model/proto",
            "solver",
            "solver/cache",
            "store",
            "store/object",
            "store/registry",
            "worker",
            "worker/containerd",
            "worker/run",
        ],
    ),
    ("docs/examples/packs", &["frontend/image", "model"]),
    ("cli", &["daemon", "daemon/session", "model", "model/proto", "worker/run"]),
    ("tests", &["model", "model/proto", "tests/fakes"]),
    ("tests/fakes", &["model"]),
    ("tests/xtask", &["frontend", "model", "tests"]),
];

/// Drawers into which everything fits, so that nothing is found in them.
const NO_NAMES: [&str; 4] = ["util", "common", "helpers", "manager"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// The room of a crate: its folder.
fn room(package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap().as_std_path();
    folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let rooms = |rooms: &[&str]| rooms.iter().map(ToString::to_string).collect();
    MAY_USE.iter().map(|(user, used)| (user.to_string(), rooms(used))).collect()
}

#[test]
fn rooms_use_only_what_they_may() {
    let metadata = metadata();
    let rooms: BTreeMap<&str, String> =
        metadata.packages.iter().map(|package| (package.name.as_str(), room(package))).collect();
    let allowed = allowed();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let user = room(package);
        let Some(allowed) = allowed.get(&user) else {
            wrong.push(format!("{user} is no room of the table"));
            continue;
        };
        let edges = package.dependencies.iter().filter(|edge| edge.kind != DependencyKind::Development);
        for used in edges.filter_map(|edge| rooms.get(edge.name.as_str())) {
            if !allowed.contains(used) {
                wrong.push(format!("{user} may not use {used}"));
            }
        }
    }
    let there: BTreeSet<&String> = rooms.values().collect();
    wrong.extend(
        allowed.keys().filter(|room| !there.contains(room)).map(|room| format!("{room} is no crate")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_document_says_the_same() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("The rooms")).unwrap();
    // | room | crate | holds | may use |
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<BTreeSet<String>> = line.trim_matches('|').split(" | ").map(quoted).collect();
        let [room, _, _, used] = <[_; 4]>::try_from(cells).unwrap();
        (room.into_iter().next().unwrap(), used)
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), allowed());
}

/// What stands between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn no_room_is_a_drawer() {
    let mut wrong = Vec::new();
    let mut folders: Vec<PathBuf> =
        metadata().packages.iter().map(|package| root().join(room(package)).join("src")).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|name| NO_NAMES.iter().any(|bad| name == *bad)) {
                wrong.push(path.display().to_string());
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "named after nothing: {wrong:?}");
}
