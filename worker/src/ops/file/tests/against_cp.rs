//! Whole trees against `cp -a`, which knows nothing of this code.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::*;

#[test]
fn random_trees_come_out_as_cp_copies_them() {
    for seed in [1, 2, 3, 20_240_607] {
        println!("seed {seed}");
        let source = tempfile::tempdir().unwrap();
        Grower { state: seed, files: Vec::new() }.grow(source.path(), 0);
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (source.path().join("."), theirs.path());
        let status =
            Command::new("cp").args(["-a", "--sparse=auto"]).args([from.as_path(), to]).status().unwrap();
        assert!(status.success(), "cp works");
        run(source.path(), ours.path(), &action("/", "/")).unwrap();
        assert_eq!(differences(ours.path(), theirs.path()), Vec::<String>::new(), "seed {seed}");
        // And once more onto what is there.
        run(source.path(), ours.path(), &action("/", "/")).unwrap();
        assert_eq!(differences(ours.path(), theirs.path()), Vec::<String>::new(), "again, seed {seed}");
    }
}

#[test]
fn holes_stay_holes() {
    let (source, target) = folders(&[]);
    let sparse = File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    rustix::io::pwrite(&sparse, b"in the middle", 40 << 20).unwrap();
    drop(sparse);
    run(source.path(), target.path(), &action("/sparse", "/copy")).unwrap();
    let copied = fs::metadata(target.path().join("copy")).unwrap();
    assert_eq!(copied.len(), 64 << 20);
    assert!(copied.blocks() * 512 < 1 << 20, "{} blocks", copied.blocks());
    let text = fs::read(target.path().join("copy")).unwrap();
    assert_eq!(text, fs::read(source.path().join("sparse")).unwrap());
}

#[test]
#[ignore = "takes many seconds: 100,000 files"]
fn a_hundred_thousand_files_are_copied() {
    let (source, target) = folders(&[]);
    for folder in 0..1000 {
        let folder = source.path().join(format!("d{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("f{file}")), format!("{file}")).unwrap();
        }
    }
    for link in [false, true] {
        let start = std::time::Instant::now();
        let into = format!("/{link}");
        run_as(source.path(), target.path(), &action("/", &into), None, link).unwrap();
        println!("linked: {link}: {:?}", start.elapsed());
        assert_eq!(fs::read_dir(target.path().join(format!("{link}"))).unwrap().count(), 1000);
    }
}

fn differences(ours: &Path, theirs: &Path) -> Vec<String> {
    let (ours, theirs) = (describe(ours), describe(theirs));
    let only = |one: &[String], other: &[String], mark: char| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).map(|line| format!("{mark} {line}")).collect()
    };
    [only(&ours, &theirs, '+'), only(&theirs, &ours, '-')].concat()
}

/// Makes a tree from a seed: deep, with links, devices, odd modes, owners, times and attributes.
struct Grower {
    state: u64,
    files: Vec<PathBuf>,
}

impl Grower {
    fn below(&mut self, limit: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }

    fn grow(&mut self, folder: &Path, depth: u64) {
        for index in 0..4 + self.below(6) {
            let path = folder.join(format!("{index}-{}", self.below(100)));
            match self.below(10) {
                0..=2 if depth < 4 => {
                    fs::create_dir(&path).unwrap();
                    self.grow(&path, depth + 1);
                }
                3 => {
                    symlink(["/etc/passwd", "../..", "nowhere", "."][self.below(4) as usize], &path).unwrap()
                }
                4 if !self.files.is_empty() => {
                    let first = self.below(self.files.len() as u64) as usize;
                    fs::hard_link(&self.files[first], &path).unwrap();
                    continue;
                }
                5 => rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
                _ => {
                    let length = [0, 1, 5000, 200_000][self.below(4) as usize];
                    let byte = self.below(256) as u8;
                    fs::write(&path, vec![byte; length]).unwrap();
                    self.files.push(path.clone());
                }
            }
            self.attributes(&path);
        }
    }

    fn attributes(&mut self, path: &Path) {
        let metadata = fs::symlink_metadata(path).unwrap();
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (self.below(3) as u32 * 1000, self.below(3) as u32 * 100);
            std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
        }
        if metadata.is_symlink() {
            return;
        }
        if self.below(4) == 0 && metadata.is_file() {
            // Not every file system keeps them.
            let _ = rustix::fs::lsetxattr(path, "user.test", b"value", XattrFlags::empty());
        }
        let mode = [0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o600][self.below(6) as usize];
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if metadata.is_file() {
            let time = SystemTime::UNIX_EPOCH
                + Duration::new(self.below(2_000_000_000), self.below(1_000_000) as u32);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }
}
