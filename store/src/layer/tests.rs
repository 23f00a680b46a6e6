//! Snapshots to layers and back, on both snapshotters.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use slipway_model::media_type::Compression;
use slipway_model::{ChainId, DiffId};

use super::compress::CompressOptions;
use super::trees::*;
use super::*;
use crate::refs::{PrepareOptions, RecordType, Ref};
use crate::snapshot::SnapshotterChoice;
use crate::store::{Store, StoreOptions};
use crate::{Durability, Mounted};

fn on_both(check: impl Fn(&Store)) {
    if !is_root() {
        return;
    }
    for snapshotter in [SnapshotterChoice::Overlay, SnapshotterChoice::Native] {
        let root = tempfile::tempdir().unwrap();
        let options = StoreOptions { snapshotter, durability: Durability::Pretended, ..Default::default() };
        match Store::open(root.path(), options) {
            Ok(store) => check(&store),
            Err(crate::Error::NoOverlay { .. }) => println!("skipped: no overlay here"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs `write` on the mounted tree of a new snapshot.
fn step(store: &Store, parent: Option<&Ref>, write: impl FnOnce(&Path)) -> Ref {
    let active = store.prepare(parent, PrepareOptions::default()).unwrap();
    let mounted = active.mount().unwrap();
    write(&path_of(&mounted));
    drop(mounted);
    active.commit().unwrap()
}

fn path_of(mounted: &Mounted) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/.", mounted.root().as_raw_fd()).into()
}

fn inputs(store: &Store, layers: &[Layer]) -> Vec<LayerInput> {
    let input = |layer: &Layer| {
        let blob = store.blobs().open(&layer.descriptor.digest).unwrap().unwrap();
        LayerInput {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id,
            description: "test".into(),
            open: Box::new(move || Ok(Box::new(blob) as Box<dyn Read + Send>)),
        }
    };
    layers.iter().map(input).collect()
}

fn seen(snapshot: &Ref) -> std::collections::BTreeMap<Vec<u8>, String> {
    let mounted = snapshot.mount().unwrap();
    let mut seen = listing(&path_of(&mounted));
    // Copying up parts a file's names on an overlay, not in a copy.
    seen.values_mut().for_each(|line| line.truncate(line.find('|').unwrap()));
    // The times of directories change with what is made in them.
    seen.values_mut().filter(|line| line.starts_with('4')).for_each(|line| {
        *line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    });
    seen
}

/// Three snapshots with random changes.
fn history(store: &Store, seed: u64) -> Ref {
    let mut random = Random::new(seed);
    let base = step(store, None, |root| grow(&mut random, root, 3));
    let middle = step(store, Some(&base), |root| change(&mut random, root));
    step(store, Some(&middle), |root| {
        change(&mut random, root);
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep/file"), "x").unwrap();
    })
}

#[test]
fn what_is_exported_from_one_store_unpacks_to_the_same_in_another() {
    on_both(|store| {
        for seed in 0..6 {
            let top = history(store, seed);
            let layers = top.layers(&LayerOptions::default()).unwrap();
            assert_eq!(layers.len(), 3);
            on_both(|other| {
                let unpacked =
                    unpack(other, inputs(store, &layers), RecordType::Regular, 3).unwrap().unwrap();
                assert_eq!(unpacked.depth(), 3);
                let (expected, found) = (seen(&top), seen(&unpacked));
                for name in expected.keys().chain(found.keys()) {
                    assert_eq!(
                        expected.get(name),
                        found.get(name),
                        "seed {seed}, {} to {}: {:?}",
                        store.snapshotter(),
                        other.snapshotter(),
                        String::from_utf8_lossy(name)
                    );
                }
                let ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
                let chain = ChainId::of(&ids).unwrap();
                assert_eq!(other.by_chain(&chain).unwrap().unwrap(), unpacked);
            });
        }
    });
}

#[test]
fn both_snapshotters_give_the_same_layers() {
    let seen = parking_lot::Mutex::new(Vec::new());
    on_both(|store| {
        let base = step(store, None, |root| {
            fs::create_dir_all(root.join("etc/old")).unwrap();
            fs::write(root.join("etc/kept"), "k").unwrap();
            fs::write(root.join("etc/gone"), "g").unwrap();
            settle_all(root);
        });
        let top = step(store, Some(&base), |root| {
            fs::remove_file(root.join("etc/gone")).unwrap();
            fs::remove_dir(root.join("etc/old")).unwrap();
            fs::create_dir(root.join("fresh")).unwrap();
            fs::write(root.join("fresh/file"), "f").unwrap();
            settle_all(root);
        });
        let layers = top.layers(&LayerOptions::default()).unwrap();
        seen.lock()
            .push(layers.iter().map(|layer| (layer.diff_id, layer.descriptor.digest)).collect::<Vec<_>>());
    });
    let seen = seen.into_inner();
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

fn settle_all(root: &Path) {
    for name in ["etc/kept", "etc/gone", "fresh/file"] {
        if root.join(name).exists() {
            set_time(&root.join(name), 1_500_000_000);
        }
    }
    settle(root);
}

#[test]
fn layers_are_remembered_and_repacked_only_when_forced() {
    on_both(|store| {
        let top = history(store, 42);
        let gzip = top.layers(&LayerOptions::default()).unwrap();
        let zstd =
            CompressOptions { compression: Compression::Zstd, level: Some(5), ..CompressOptions::default() };
        let wished = LayerOptions { compress: zstd, ..Default::default() };
        let forced = LayerOptions { force: true, ..wished.clone() };
        let ids =
            |layers: &[Layer]| layers.iter().map(|l| (l.descriptor.clone(), l.diff_id)).collect::<Vec<_>>();
        assert_eq!(ids(&top.layers(&wished).unwrap()), ids(&gzip));
        let repacked = top.layers(&forced).unwrap();
        for (old, new) in gzip.iter().zip(&repacked) {
            assert_eq!(old.diff_id, new.diff_id);
            assert_eq!(new.descriptor.media_type, slipway_model::media_type::OCI_LAYER_ZSTD);
        }
        assert_eq!(ids(&top.layers(&forced).unwrap()), ids(&repacked));
        // Gone blobs are made again, the same.
        for layer in &gzip {
            store.blobs().remove(&layer.descriptor.digest).unwrap();
        }
        let forced = LayerOptions { force: true, ..Default::default() };
        assert_eq!(ids(&top.layers(&forced).unwrap()), ids(&gzip));
    });
}

#[test]
fn layers_that_are_here_are_not_opened_again() {
    on_both(|store| {
        let top = history(store, 7);
        let layers = top.layers(&LayerOptions::default()).unwrap();
        let first = unpack(store, inputs(store, &layers), RecordType::Regular, 2).unwrap().unwrap();
        let mut again = inputs(store, &layers);
        for layer in &mut again {
            layer.open = Box::new(|| panic!("opened"));
        }
        assert_eq!(unpack(store, again, RecordType::Regular, 2).unwrap().unwrap(), first);
        assert!(unpack(store, Vec::new(), RecordType::Regular, 2).unwrap().is_none());
    });
}

#[test]
fn a_layer_with_another_digest_leaves_nothing_behind() {
    on_both(|store| {
        let top = history(store, 8);
        let layers = top.layers(&LayerOptions::default()).unwrap();
        on_both(|other| {
            let mut wrong = inputs(store, &layers);
            wrong[1].diff_id = layers[0].diff_id;
            let error = unpack(other, wrong, RecordType::Regular, 2).unwrap_err();
            assert!(matches!(error, LayerError::DiffMismatch { .. }), "{error}");
            assert!(
                other
                    .by_chain(&ChainId::of(&[layers[0].diff_id, layers[0].diff_id]).unwrap())
                    .unwrap()
                    .is_none()
            );
        });
    });
}

#[test]
fn times_can_be_bounded_but_for_the_base() {
    on_both(|store| {
        let top = history(store, 9);
        let plain = top.layers(&LayerOptions::default()).unwrap();
        let bounded = LayerOptions {
            latest_time: Some(1_000),
            unchanged: [plain[0].diff_id].into(),
            ..Default::default()
        };
        let bounded = top.layers(&bounded).unwrap();
        assert_eq!(bounded[0].diff_id, plain[0].diff_id);
        assert_ne!(bounded[2].diff_id, plain[2].diff_id);
        let mut blob = store.blobs().open(&bounded[2].descriptor.digest).unwrap().unwrap();
        apply::uncompressed(&mut blob, |tar| {
            let mut reader = super::tar::Reader::new(std::io::BufReader::new(tar), 4096);
            while let Some(entry) = reader.next_entry()? {
                assert!(entry.modified.seconds <= 1_000);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(top.layers(&LayerOptions::default()).unwrap()[2].diff_id, plain[2].diff_id);
    });
}

#[test]
fn a_directory_made_anew_hides_what_it_held() {
    on_both(|store| {
        let base = step(store, None, |root| fs::create_dir_all(root.join("d/old/deep")).unwrap());
        let top = step(store, Some(&base), |root| {
            fs::remove_dir_all(root.join("d")).unwrap();
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/new"), "n").unwrap();
        });
        let layers = top.layers(&LayerOptions::default()).unwrap();
        on_both(|other| {
            let unpacked = unpack(other, inputs(store, &layers), RecordType::Regular, 2).unwrap().unwrap();
            assert_eq!(seen(&unpacked).keys().collect::<Vec<_>>(), [&b"d"[..], b"d/new"]);
        });
    });
}

#[test]
fn a_directory_made_anew_hides_elsewhere_only_what_it_held() {
    on_both(|store| {
        let base = step(store, None, |root| {
            fs::create_dir_all(root.join("d/old/deep")).unwrap();
            fs::create_dir_all(root.join("d/sub/old")).unwrap();
        });
        let top = step(store, Some(&base), |root| {
            fs::remove_dir_all(root.join("d")).unwrap();
            fs::create_dir_all(root.join("d/sub/new")).unwrap();
        });
        let other = step(store, None, |root| {
            for path in ["d/old", "d/mine", "d/sub/old", "d/sub/mine"] {
                fs::create_dir_all(root.join(path)).unwrap();
            }
        });
        let mut active = store.prepare(Some(&other), PrepareOptions::default()).unwrap();
        restack(&top, &mut active).unwrap();
        let merged = active.commit().unwrap();
        let names = ["d", "d/mine", "d/sub", "d/sub/mine", "d/sub/new"].map(str::as_bytes);
        assert_eq!(seen(&merged).keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    });
}

#[test]
fn a_difference_has_the_layers_that_it_is_from() {
    on_both(|store| {
        let base = step(store, None, |root| fs::write(root.join("old"), "x").unwrap());
        let middle = step(store, Some(&base), |root| fs::write(root.join("new"), "y").unwrap());
        let top = step(store, Some(&middle), |root| fs::remove_file(root.join("old")).unwrap());
        let digests = |snapshot: &Ref| {
            let layers = snapshot.layers(&LayerOptions::default()).unwrap();
            layers.into_iter().map(|layer| layer.descriptor).collect::<Vec<_>>()
        };
        // Before anything is exported there are none, and those of the difference are packed as others are.
        let made = between(store, Some(&base), Some(&top), PrepareOptions::default()).unwrap();
        let packed = digests(&made);
        assert!(packed.iter().all(|layer| layer.media_type == Compression::Gzip.oci_layer()), "{packed:?}");
        let exported = digests(&top);
        assert_eq!(packed, exported[1..]);
        let again = between(store, Some(&base), Some(&top), PrepareOptions::default()).unwrap();
        assert_eq!(digests(&again), exported[1..]);
        // What was deleted still is, where the difference is merged.
        let mut active = store.prepare(Some(&base), PrepareOptions::default()).unwrap();
        for layer in again.chain() {
            restack(&layer, &mut active).unwrap();
            active = store.prepare(Some(&active.commit().unwrap()), PrepareOptions::default()).unwrap();
        }
        assert_eq!(seen(active.parent().unwrap()).keys().collect::<Vec<_>>(), [&b"new"[..]]);
    });
}

#[test]
fn directories_that_a_layer_passes_through_keep_their_attributes() {
    on_both(|store| {
        let base = step(store, None, |root| {
            use std::os::unix::fs::PermissionsExt;
            fs::create_dir(root.join("home")).unwrap();
            fs::set_permissions(root.join("home"), fs::Permissions::from_mode(0o710)).unwrap();
            std::os::unix::fs::lchown(root.join("home"), Some(7), Some(8)).unwrap();
        });
        let mut layers = inputs(store, &base.layers(&LayerOptions::default()).unwrap());
        // A layer without an entry for the directory that its file is in.
        let mut writer = super::tar::Writer::new(Vec::new());
        writer.header(&super::tar::Entry::new(super::tar::Kind::File, "home/file")).unwrap();
        let bytes = writer.finish().unwrap();
        let stored = store.blobs().put(&bytes).unwrap();
        layers.push(LayerInput {
            descriptor: slipway_model::Descriptor::new("layer", stored.digest, stored.size),
            diff_id: DiffId(stored.digest.0),
            description: "made by hand".into(),
            open: Box::new(|| Ok(Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>)),
        });
        in_another_store(
            layers,
            |seen| assert!(seen[&b"home"[..]].starts_with("40710 7:8"), "{seen:?}"),
            store,
        );
    });
}

fn in_another_store(
    layers: Vec<LayerInput>,
    check: impl Fn(std::collections::BTreeMap<Vec<u8>, String>),
    from: &Store,
) {
    let root = tempfile::tempdir().unwrap();
    let snapshotter = match from.snapshotter() {
        "overlay" => SnapshotterChoice::Overlay,
        _ => SnapshotterChoice::Native,
    };
    let options = StoreOptions { snapshotter, durability: Durability::Pretended, ..Default::default() };
    let other = Store::open(root.path(), options).unwrap();
    let unpacked = unpack(&other, layers, RecordType::Regular, 2).unwrap().unwrap();
    check(seen(&unpacked));
}
