//! Flipped bits and cut files, at random: what is left opens, tells nothing wrong, and goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scenario::Life;
use crate::{End, folder, run, verify};

/// Roots that are damaged, unless `SLIPWAY_DAMAGES` says how many.
const FEW: u64 = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Flips some bits of the file, or cuts it; what was done.
fn damage(random: &mut Random, path: &Path) -> String {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len() as u64;
    let what = if random.below(4) == 0 {
        bytes.truncate(random.below(length) as usize);
        format!("cut {} from {length} to {}", path.display(), bytes.len())
    } else {
        let flips = 1 + random.below(8);
        for _ in 0..flips {
            bytes[random.below(length) as usize] ^= 1 << random.below(8);
        }
        format!("{flips} bits of {} flipped", path.display())
    };
    fs::write(path, bytes).unwrap();
    what
}

/// `tidies`: it was not closed in order, so that rows and files are made to agree when it is opened. Otherwise a
/// flipped bit that leaves a row well-formed is only named, by a check.
fn one(seed: u64, template: &Path, tidies: bool) -> bool {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let folder = folder();
    let root = folder.path().join("root");
    assert!(Command::new("cp").arg("-a").arg(template).arg(&root).status().unwrap().success());
    let log = root.join("metadata.db-wal");
    let has_log = log.metadata().is_ok_and(|meta| meta.len() > 0);
    let path = match random.below(4) {
        0 => {
            let blobs = files(&root.join("blobs"));
            blobs[random.below(blobs.len() as u64) as usize].clone()
        }
        1 if has_log => log,
        _ => root.join("metadata.db"),
    };
    let what = damage(&mut random, &path);
    let is_blob = path.starts_with(root.join("blobs"));
    let checked = std::panic::catch_unwind(|| {
        let life = open(&root);
        verify::contents(&life);
        let kept = !life.records.uses().is_empty();
        drop(life);
        if tidies {
            verify::only_damaged_blobs(&root, is_blob);
            verify::pruning_leaves_nothing(&root);
        }
        kept
    });
    checked.unwrap_or_else(|panic| {
        eprintln!("== seed {seed}: {what}");
        std::panic::resume_unwind(panic)
    })
}

/// As a daemon: damage that is found while it opens is put right by opening once more.
pub(crate) fn open(root: &Path) -> Life {
    Life::open(root).or_else(|_| Life::open(root)).unwrap()
}

#[test]
fn damage_is_found_and_costs_only_what_it_hit() {
    let count = std::env::var("SLIPWAY_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW);
    let (closed, killed) = (folder(), folder());
    let closed = closed.path().join("root");
    assert_eq!(run(&closed, "some", "", None), End::Through);
    let killed = killed.path().join("root");
    assert_eq!(run(&killed, "some", "kill@metadata.checkpoint:1", None), End::Killed);
    let kept = (0..count)
        .filter(|seed| one(*seed, if seed % 2 == 0 { &closed } else { &killed }, seed % 2 == 1))
        .count() as u64;
    eprintln!("records were kept in {kept} of {count} damaged roots");
    assert!(kept * 2 > count, "{kept} of {count}");
}
