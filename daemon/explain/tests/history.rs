//! What is kept, for how long, and what is read back.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::HashMap;
use std::sync::Arc;

use slipway_explain::compare::Materials;
use slipway_explain::history::{MOST_BUILDS, OLDEST};
use slipway_explain::{Build, History, Input, Material, Step};
use slipway_store::content_hash::{Manifest, ManifestEntry};
use slipway_store::metadata::{Durability, Metadata, MetadataOptions};

fn open(folder: &tempfile::TempDir) -> History {
    let options = MetadataOptions { durability: Durability::Volatile, ..MetadataOptions::default() };
    History::open(Metadata::open(folder.path(), options).unwrap()).unwrap()
}

fn material(name: &str) -> Arc<Material> {
    Arc::new(Material { kind: name.into(), ..Material::default() })
}

/// Of one step, on its own material and its own content.
fn build(number: usize, ended: i64) -> (Build, HashMap<String, Arc<Material>>) {
    let material = material(&format!("kind {number}"));
    let source = Step { name: "source".into(), material: material.id(), ..Step::default() };
    let input = Input { content: Some(format!("content {number}")), ..Input::default() };
    let step = Step { inputs: vec![input], ..source.clone() };
    let steps = vec![source, step];
    let lineage = format!("lineage {}", number % 2);
    (
        Build { id: format!("build-{number}-"), lineage, started: ended, ended, steps },
        [(material.id(), material)].into(),
    )
}

fn manifest() -> Manifest {
    let entry = ManifestEntry {
        selector: 0,
        path: b"/a".to_vec(),
        mode: 0,
        uid: 0,
        gid: 0,
        size: 1,
        digest: [7; 16],
    };
    Manifest { entries: vec![entry], left_out: 0 }
}

#[test]
fn what_was_kept_is_read_back_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let history = open(&folder);
    let ((one, materials), (other, _)) = (build(1, 10), build(2, 20));
    history.keep(&one, &materials).unwrap();
    history.keep(&other, &HashMap::new()).unwrap();
    history.keep_listing("content 1", &manifest()).unwrap();
    let salt = history.salt().to_owned();
    drop(history);

    let history = open(&folder);
    assert_eq!(history.salt(), salt);
    assert_eq!(history.build("build-1").unwrap().as_ref(), Some(&one));
    assert_eq!(history.build("").unwrap().as_ref(), Some(&other), "the latest");
    assert_eq!(history.build("x").unwrap(), None);
    assert_eq!(history.latest("lineage 1").unwrap().as_ref(), Some(&one));
    assert_eq!(history.candidates("lineage 1", 1).unwrap(), [other, one.clone()]);
    assert_eq!(history.listing("content 1").unwrap(), Some(manifest()));
    assert_eq!(history.material(&one.steps[0].material), Some(material("kind 1")));
    assert_eq!(history.material("nothing"), None);
}

#[test]
fn too_many_and_too_old_builds_go_with_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let history = open(&folder);
    let keep = |number: usize, ended: i64| {
        let (build, materials) = build(number, ended);
        history.keep(&build, &materials).unwrap();
        history.keep_listing(&format!("content {number}"), &manifest()).unwrap();
        build
    };
    let first = keep(0, 1);
    (1..MOST_BUILDS + 80).for_each(|number| drop(keep(number, 2)));
    let kept = history.list().unwrap().len();
    assert!((MOST_BUILDS..MOST_BUILDS + 40).contains(&kept), "{kept}");
    assert_eq!(history.build("build-0-").unwrap(), None);
    assert_eq!(history.material(&first.steps[0].material), None);
    assert_eq!(history.listing("content 0").unwrap(), None);
    let last = format!("content {}", MOST_BUILDS + 79);
    assert!(history.has_listing(&last).unwrap());

    (1000..1040).for_each(|number| drop(keep(number, OLDEST + 100)));
    assert!(history.list().unwrap().iter().all(|entry| entry.ended > 2), "the others are too old");
}

#[test]
fn a_build_says_who_made_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let history = open(&folder);
    let (mut one, _) = build(1, 0);
    (one.started, one.ended) = (10, 20);
    one.steps[1].outcome = slipway_explain::Outcome::Ran;
    one.steps[1].keys = vec!["key".into()];
    history.keep(&one, &HashMap::new()).unwrap();
    let maker = |key: &str, made| history.maker(&[key.to_owned()], made).unwrap();
    assert_eq!(maker("key", 15).as_deref(), Some("build-1-"));
    assert_eq!((maker("key", 25), maker("other", 15)), (None, None));
}
