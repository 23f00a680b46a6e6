use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use slipway_model::{BlobDigest, DiffId, Digest};

use super::*;
use crate::layer::tar::{Entry, Kind, Writer};
use crate::layer::trees::*;

const OVERLAY: Target = Target::Overlay(Namespace::Trusted);

fn file(name: &str) -> Entry {
    Entry { mode: 0o644, ..Entry::new(Kind::File, name) }
}

fn directory(name: &str) -> Entry {
    Entry { mode: 0o755, ..Entry::new(Kind::Directory, name) }
}

fn link(kind: Kind, name: &str, target: &str) -> Entry {
    Entry { link: target.into(), mode: 0o777, ..Entry::new(kind, name) }
}

/// Files hold their own name.
fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        match entry.kind {
            Kind::File => {
                let entry = Entry { size: entry.name.len() as u64, ..entry.clone() };
                writer.append(&entry, &mut &entry.name[..]).unwrap();
            }
            _ => writer.header(entry).unwrap(),
        }
    }
    writer.finish().unwrap()
}

/// A directory `root` to apply to, beside a file that nothing must touch.
fn arena() -> (tempfile::TempDir, std::path::PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("outside"), b"untouched").unwrap();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    (scratch, root)
}

fn untouched(scratch: &Path) {
    let names: Vec<_> = fs::read_dir(scratch).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let outside = fs::symlink_metadata(scratch.join("outside")).unwrap();
    assert_eq!((outside.nlink(), outside.len()), (1, 9));
}

#[test]
fn nothing_escapes_the_root() {
    let (scratch, _) = arena();
    let outside = scratch.path().join("outside");
    let outside = outside.to_str().unwrap();
    let above = scratch.path().to_str().unwrap();
    let hostile: Vec<(&str, Vec<Entry>)> = vec![
        ("dots", vec![file("../escaped")]),
        ("many dots", vec![file("a/../../../../escaped")]),
        ("absolute", vec![file(&format!("{above}/escaped"))]),
        ("absolute symlink, then through it", vec![link(Kind::Symlink, "l", above), file("l/escaped")]),
        ("relative symlink, then through it", vec![link(Kind::Symlink, "l", "../"), file("l/escaped")]),
        (
            "two symlinks",
            vec![
                link(Kind::Symlink, "a", ".."),
                link(Kind::Symlink, "b", "a/.."),
                file("b/escaped"),
                file("a/escaped"),
            ],
        ),
        ("file over a symlink", vec![link(Kind::Symlink, "l", outside), file("l")]),
        (
            "directory over a symlink",
            vec![link(Kind::Symlink, "l", above), directory("l"), file("l/escaped")],
        ),
        ("whiteout through a symlink", vec![link(Kind::Symlink, "l", above), file("l/.wh.outside")]),
        ("opaque through a symlink", vec![link(Kind::Symlink, "l", above), file("l/.wh..wh..opq")]),
        ("whiteout of the parent", vec![directory("d"), file("d/.wh...")]),
        ("hard link outside", vec![link(Kind::HardLink, "h", outside)]),
        ("hard link with dots", vec![link(Kind::HardLink, "h", "../outside")]),
        (
            "hard link through a symlink",
            vec![link(Kind::Symlink, "l", above), link(Kind::HardLink, "h", "l/outside")],
        ),
        (
            "hard link to a symlink, then a write",
            vec![link(Kind::Symlink, "l", outside), link(Kind::HardLink, "h", "l"), file("h")],
        ),
        ("proc", vec![link(Kind::Symlink, "l", "/proc/self/root"), file("l/escaped")]),
        ("dangling symlink", vec![link(Kind::Symlink, "l", "../escaped"), file("l/x")]),
        ("a loop", vec![link(Kind::Symlink, "a", "b"), link(Kind::Symlink, "b", "a"), file("a/x")]),
        (
            "kept parent replaced",
            vec![directory("d"), file("d/one"), link(Kind::Symlink, "d", above), file("d/escaped")],
        ),
        ("only dots", vec![file("..")]),
    ];
    for (what, entries) in hostile {
        for target in [OVERLAY, Target::Tree] {
            let (scratch, root) = arena();
            // It may be refused or take place inside.
            let outcome = try_apply(&archive(&entries), &root, target);
            untouched(scratch.path());
            drop((what, outcome));
        }
    }
}

#[test]
fn a_device_is_replaced_not_written_to() {
    if !is_root() {
        return;
    }
    let (_scratch, root) = arena();
    let null = Entry { device_major: 1, device_minor: 3, mode: 0o666, ..Entry::new(Kind::CharDevice, "dev") };
    let fifo = Entry::new(Kind::Fifo, "fifo");
    apply_to(&archive(&[null, file("dev"), fifo, file("fifo")]), &root, Target::Tree);
    assert_eq!(fs::read(root.join("dev")).unwrap(), b"dev");
    assert_eq!(fs::read(root.join("fifo")).unwrap(), b"fifo");
}

#[test]
fn symlinks_inside_the_tree_lead_where_they_say() {
    let (_scratch, root) = arena();
    let entries = [
        directory("usr"),
        directory("usr/lib"),
        link(Kind::Symlink, "lib", "usr/lib"),
        file("lib/a"),
        link(Kind::Symlink, "run", "/var/run"),
        file("run/b"),
    ];
    let applied = apply_to(&archive(&entries), &root, Target::Tree);
    assert!(root.join("usr/lib/a").is_file());
    assert!(root.join("var/run/b").is_file());
    assert_eq!(applied.implied, [b"var".to_vec(), b"var/run".to_vec()]);
}

#[test]
fn deletions_become_marks_in_an_overlay() {
    if !is_root() {
        return;
    }
    let (_scratch, root) = arena();
    let entries = [
        file("d/.wh.gone"),
        file("d/.wh..wh..opq"),
        file(".wh.again"),
        directory("again"),
        file(".wh..wh.aufs"),
        directory("own"),
        file("own/x"),
        file(".wh.own"),
    ];
    let applied = apply_to(&archive(&entries), &root, OVERLAY);
    assert_eq!(applied.implied, [b"d".to_vec()]);
    let gone = fs::symlink_metadata(root.join("d/gone")).unwrap();
    assert_eq!((gone.mode() & 0o170000, gone.rdev()), (0o020000, 0));
    let mut value = [0; 8];
    for opaque in ["d", "again", "own"] {
        let length =
            rustix::fs::getxattr(root.join(opaque), "trusted.overlay.opaque", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"y", "{opaque}");
    }
    assert!(root.join("own/x").is_file());
    assert!(!root.join(".wh..wh.aufs").exists());
}

#[test]
fn deletions_are_carried_out_in_a_tree_but_spare_what_the_layer_brings() {
    let (_scratch, root) = arena();
    for path in ["d/old", "e/old/deep", "f"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    let entries =
        [directory("d"), file("d/new"), file("d/.wh..wh..opq"), file("e/.wh.old"), file("f"), file(".wh.f")];
    apply_to(&archive(&entries), &root, Target::Tree);
    assert!(root.join("d/new").is_file() && !root.join("d/old").exists());
    assert!(root.join("e").is_dir() && !root.join("e/old").exists());
    assert!(root.join("f").is_file());
}

#[test]
fn attributes_of_the_overlay_do_not_come_from_layers() {
    if !is_root() {
        return;
    }
    let (_scratch, root) = arena();
    let mut entry = directory("d");
    for name in ["trusted.overlay.opaque", "user.overlay.redirect", "trusted.overlay.metacopy"] {
        entry.xattrs.push((name.into(), b"y".to_vec()));
    }
    entry.xattrs.push((b"user.fine".to_vec(), b"1".to_vec()));
    apply_to(&archive(&[entry]), &root, OVERLAY);
    let mut names = [0; 256];
    let length = rustix::fs::listxattr(root.join("d"), &mut names[..]).unwrap();
    assert_eq!(&names[..length], b"user.fine\0");
}

#[test]
fn other_bytes_than_announced_are_refused_naming_both() {
    let (_scratch, root) = arena();
    let layer = archive(&[file("a")]);
    let wrong = Digest::of("other");
    for (expected, text) in [
        (Expected { blob: Some(BlobDigest(wrong)), diff_id: None }, "the layer's blob is"),
        (Expected { blob: None, diff_id: Some(DiffId(wrong)) }, "the layer's uncompressed content is"),
    ] {
        let options = ApplyOptions { target: Target::Tree, limits: Limits::default(), expected };
        let error = apply(&mut &layer[..], std::os::fd::AsFd::as_fd(&open(&root)), options).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(text), "{message}");
        assert!(message.contains(&Digest::of(&layer).to_string()) && message.contains(&wrong.to_string()));
    }
}

#[test]
fn limits_hold() {
    let (_scratch, root) = arena();
    let mut big = file("a");
    big.xattrs.push((b"user.big".to_vec(), vec![b'x'; 70 << 10]));
    let long = "n/".repeat(3000) + "x";
    for layer in [archive(&[big]), archive(&[file(&long)])] {
        let error = try_apply(&layer, &root, Target::Tree).unwrap_err();
        assert!(matches!(error, LayerError::Limit { .. }), "{error:?}");
    }
    let options = ApplyOptions {
        target: Target::Tree,
        limits: Limits { entries: 1, ..Limits::default() },
        expected: Expected::default(),
    };
    let layer = archive(&[file("a"), file("b")]);
    let error = apply(&mut &layer[..], std::os::fd::AsFd::as_fd(&open(&root)), options).unwrap_err();
    assert!(matches!(error, LayerError::Limit { what: "number of entries", .. }), "{error:?}");
}

#[test]
fn cut_or_damaged_blobs_are_errors() {
    let layer = archive(&[file("a"), directory("b"), file("b/c")]);
    let mut zipped = Vec::new();
    let options = crate::layer::compress::CompressOptions::default();
    let produce = Box::new(|out: &mut dyn std::io::Write| out.write_all(&layer).map_err(LayerError::Output));
    crate::layer::compress::compress(options, 2, &mut zipped, produce).unwrap();
    let fine = {
        let (_scratch, root) = arena();
        apply_to(&zipped, &root, Target::Tree)
    };
    assert_eq!(fine.diff_id, DiffId(Digest::of(&layer)));
    assert_eq!(fine.blob, BlobDigest(Digest::of(&zipped)));
    assert_eq!(fine.compression, Compression::Gzip);
    for cut in [1, 5, 20, zipped.len() - 1] {
        let (_scratch, root) = arena();
        assert!(try_apply(&zipped[..cut], &root, Target::Tree).is_err(), "{cut}");
    }
    for cut in [100, 513, 700] {
        let (_scratch, root) = arena();
        assert!(try_apply(&layer[..cut], &root, Target::Tree).is_err(), "{cut}");
    }
    for magic in [&b"BZh91AY&SY"[..], b"\xfd7zXZ\0\0"] {
        let (_scratch, root) = arena();
        let error = try_apply(magic, &root, Target::Tree).unwrap_err();
        assert!(matches!(error, LayerError::Compression(_)), "{error:?}");
    }
}
