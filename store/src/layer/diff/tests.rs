use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{FileType, XattrFlags};

use super::Form;
use crate::layer::apply::Target;
use crate::layer::tar::Reader;
use crate::layer::trees::*;
use crate::layer::whiteout::Namespace;

fn names(layer: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(layer, 4096);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.display());
    }
    names
}

fn same_listing(a: &Path, b: &Path, seed: u64) {
    let (a, b) = (listing(a), listing(b));
    for name in a.keys().chain(b.keys()) {
        assert_eq!(a.get(name), b.get(name), "seed {seed}: {:?}", String::from_utf8_lossy(name));
    }
}

#[test]
fn whole_trees_survive_diff_and_apply_and_gnu_tar_agrees() {
    if !is_root() {
        return;
    }
    for seed in 0..25 {
        let scratch = tempfile::tempdir().unwrap();
        let [from, ours, theirs] = ["from", "ours", "theirs"].map(|name| scratch.path().join(name));
        [&from, &ours, &theirs].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        grow(&mut Random::new(seed), &from, 3);
        let layer = layer(&from, None, Form::Tree);
        assert_eq!(layer, crate::layer::trees::layer(&from, None, Form::Overlay), "seed {seed}");

        apply_to(&layer, &ours, Target::Tree);
        same_listing(&from, &ours, seed);

        let archive = scratch.path().join("layer.tar");
        fs::write(&archive, &layer).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "-p", "-xf"]);
        let status = tar.arg(&archive).arg("-C").arg(&theirs).status().unwrap();
        assert!(status.success(), "seed {seed}");
        same_listing(&from, &theirs, seed);
    }
}

#[test]
fn archives_of_gnu_tar_are_read_in_all_its_formats() {
    if !is_root() {
        return;
    }
    for (seed, format) in ["gnu", "pax", "oldgnu", "gnu", "pax"].into_iter().enumerate() {
        let scratch = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| scratch.path().join(name));
        [&from, &to].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        grow(&mut Random::new(seed as u64 + 100), &from, 3);
        let holes = fs::File::create(from.join("holes")).unwrap();
        for piece in 0..40u64 {
            std::os::unix::fs::FileExt::write_all_at(&holes, b"data", piece * 100_000).unwrap();
        }
        holes.set_len(9_000_000).unwrap();
        set_time(&from.join("holes"), 5);
        let mut tar = Command::new("tar");
        tar.arg(format!("--format={format}")).args(["--sparse", "--numeric-owner", "-cf", "-", "."]);
        if format == "pax" {
            tar.args(["--xattrs", &format!("--sparse-version={}", ["0.0", "0.1", "1.0"][seed % 3])]);
        }
        let archive = tar.current_dir(&from).stderr(Stdio::inherit()).output().unwrap();
        assert!(archive.status.success());
        apply_to(&archive.stdout, &to, Target::Tree);
        let strip = |path: &Path| {
            let mut listing = listing(path);
            if format != "pax" {
                listing.values_mut().for_each(|line| *line = line.replace("Some([97, 0, 98, 10])", "None"));
            }
            listing
        };
        assert_eq!(strip(&from), strip(&to), "{format}");
    }
}

#[test]
fn what_changed_between_two_trees_makes_one_of_the_other() {
    if !is_root() {
        return;
    }
    for seed in 0..40 {
        let scratch = tempfile::tempdir().unwrap();
        let [before, after, rebuilt, upper] =
            ["before", "after", "rebuilt", "upper"].map(|name| scratch.path().join(name));
        [&before, &upper].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        let mut random = Random::new(seed);
        grow(&mut random, &before, 3);
        settle(&before);
        copy(&before, &after);
        copy(&before, &rebuilt);
        change(&mut random, &after);

        let changes = layer(&after, Some(&before), Form::Tree);
        assert_eq!(changes, layer(&after, Some(&before), Form::Tree), "seed {seed}");
        apply_to(&changes, &rebuilt, Target::Tree);
        settle(&rebuilt);
        same_listing(&after, &rebuilt, seed);

        // The same changes as an overlay's upper directory tell the same story.
        let applied = apply_to(&changes, &upper, Target::Overlay(Namespace::Trusted));
        assert_eq!(applied.implied, Vec::<Vec<u8>>::new(), "seed {seed}");
        let again = layer(&upper, Some(&before), Form::Overlay);
        let rebuilt_again = scratch.path().join("again");
        copy(&before, &rebuilt_again);
        apply_to(&again, &rebuilt_again, Target::Tree);
        settle(&rebuilt_again);
        same_listing(&after, &rebuilt_again, seed);
    }
}

#[test]
fn an_unchanged_tree_is_an_empty_layer() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| scratch.path().join(name));
    fs::create_dir(&before).unwrap();
    grow(&mut Random::new(5), &before, 3);
    copy(&before, &after);
    assert_eq!(names(&layer(&after, Some(&before), Form::Tree)), Vec::<String>::new());
    // Copied up without a change, that is.
    assert_eq!(names(&layer(&after, Some(&before), Form::Overlay)), Vec::<String>::new());
}

#[test]
fn marks_of_the_overlay_become_whiteouts_only_where_something_is_hidden() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let [lower, upper] = ["lower", "upper"].map(|name| scratch.path().join(name));
    for path in ["lower/gone", "lower/kept", "lower/opaque/old", "upper/opaque", "upper/new"] {
        fs::create_dir_all(scratch.path().join(path)).unwrap();
    }
    fs::create_dir(upper.join("kept")).unwrap();
    fs::write(upper.join("kept/file"), b"x").unwrap();
    for path in ["opaque", "new"] {
        rustix::fs::setxattr(upper.join(path), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    }
    special(&upper.join("gone"), FileType::CharacterDevice, 0);
    special(&upper.join("never-was"), FileType::CharacterDevice, 0);
    let layer = layer(&upper, Some(&lower), Form::Overlay);
    assert_eq!(names(&layer), [".wh.gone", "kept/", "kept/file", "new/", "opaque/", "opaque/.wh.old"]);
}

#[test]
fn a_directory_made_anew_hides_by_name_what_was_there_before() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let [lower, upper] = ["lower", "upper"].map(|name| scratch.path().join(name));
    for path in ["lower/a/sub", "lower/a/gone", "upper/a/sub"] {
        fs::create_dir_all(scratch.path().join(path)).unwrap();
    }
    for file in ["a/kept", "a/sub/old", "a/sub/kept"] {
        fs::write(lower.join(file), b"x").unwrap();
    }
    for file in ["a/kept", "a/sub/kept"] {
        copy(&lower.join(file), &upper.join(file));
    }
    fs::write(upper.join("a/sub/new"), b"x").unwrap();
    rustix::fs::setxattr(upper.join("a"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let layer = layer(&upper, Some(&lower), Form::Overlay);
    assert_eq!(names(&layer), ["a/", "a/.wh.gone", "a/sub/", "a/sub/new", "a/sub/.wh.old"]);
}

#[test]
fn a_new_name_for_an_old_file_brings_the_old_name_along() {
    let scratch = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| scratch.path().join(name));
    fs::create_dir_all(before.join("a")).unwrap();
    fs::write(before.join("a/one"), b"x").unwrap();
    fs::hard_link(before.join("a/one"), before.join("a/two")).unwrap();
    copy(&before, &after);
    fs::hard_link(after.join("a/one"), after.join("b")).unwrap();
    assert_eq!(names(&layer(&after, Some(&before), Form::Tree)), ["b", "a/", "a/one", "a/two"]);
}

#[test]
fn a_file_written_in_the_same_tick_of_the_clock_is_another() {
    let scratch = tempfile::tempdir().unwrap();
    let [lower, upper] = ["lower", "upper"].map(|name| scratch.path().join(name));
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 4_000_000);
    for (directory, content) in [(&lower, "A"), (&upper, "B")] {
        fs::create_dir(directory).unwrap();
        for (name, content) in [("changed", content), ("copied-up", "same")] {
            fs::write(directory.join(name), content).unwrap();
            fs::File::options().write(true).open(directory.join(name)).unwrap().set_modified(at).unwrap();
        }
    }
    assert_eq!(names(&layer(&upper, Some(&lower), Form::Overlay)), ["changed"]);
}
