//! Trees for tests: made from a seed, and listed so that two can be compared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// A line for each file: all that a layer keeps.
pub(crate) fn listing(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut lines = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let kind = FileType::from_raw_mode(meta.mode());
        let content = match kind {
            FileType::RegularFile => slipway_model::Digest::of(fs::read(&path).unwrap()).short(),
            FileType::Symlink => format!("{:?}", fs::read_link(&path).unwrap()),
            _ => String::new(),
        };
        let link = match kind {
            FileType::Directory => None,
            _ => (meta.nlink() > 1).then(|| first_names.entry(meta.ino()).or_insert(name.clone()).clone()),
        };
        let mut xattr = [0; 64];
        let xattr = match kind {
            FileType::RegularFile => {
                rustix::fs::getxattr(&path, "user.note", &mut xattr[..]).map(|n| xattr[..n].to_vec()).ok()
            }
            _ => None,
        };
        let line = format!(
            "{:o} {}:{} {} {} {} {content} {xattr:?} |{link:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            if kind == FileType::RegularFile { meta.size() } else { 0 },
            meta.rdev()
        );
        lines.insert(name, line);
    }
    lines
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            collect(&path, into);
        }
        into.push(path);
    }
}

/// Fills `directory` with some of everything.
pub(crate) fn grow(random: &mut Random, directory: &Path, depth: u32) {
    let mut files: Vec<PathBuf> = Vec::new();
    for i in 0..2 + random.below(7) {
        let path = directory.join(name(random, i));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match random.below(10) {
            0 | 1 if depth > 0 => {
                fs::create_dir(&path).unwrap();
                grow(random, &path, depth - 1);
            }
            2 => symlink(["../x", "/etc/passwd", "a b", "no/such"][random.below(4) as usize], &path).unwrap(),
            3 if !files.is_empty() => {
                fs::hard_link(&files[random.below(files.len() as u64) as usize], &path).unwrap();
                continue;
            }
            4 => special(&path, FileType::Fifo, 0),
            5 => {
                special(&path, FileType::CharacterDevice, rustix::fs::makedev(1, 3 + random.below(5) as u32))
            }
            _ => {
                let length = [0, 10, 511, 512, 513, 70_000][random.below(6) as usize];
                fs::write(&path, vec![b'a' + random.below(26) as u8; length]).unwrap();
                if random.below(4) == 0 {
                    rustix::fs::setxattr(&path, "user.note", b"a\0b\n", XattrFlags::empty()).unwrap();
                }
                files.push(path.clone());
            }
        }
        adorn(random, &path);
    }
}

/// Owner, mode and whole-second times.
pub(crate) fn adorn(random: &mut Random, path: &Path) {
    lchown(path, Some(random.below(3) as u32 * 1000), Some(random.below(4_000_000) as u32)).unwrap();
    if !path.is_symlink() {
        let mode = [0o644, 0o755, 0o4755, 0o2700, 0o1777, 0o600][random.below(6) as usize];
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    set_time(path, 1_000_000_000 + random.below(600_000_000) as i64);
}

pub(crate) fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn special(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

/// Removes, changes and adds here and there; times of changed directories are set whole again.
pub(crate) fn change(random: &mut Random, directory: &Path) {
    let mut paths = vec![];
    collect(directory, &mut paths);
    paths.sort();
    for path in paths {
        let Ok(meta) = path.symlink_metadata() else { continue };
        match random.below(8) {
            0 if meta.is_dir() => fs::remove_dir_all(&path).unwrap(),
            0 => fs::remove_file(&path).unwrap(),
            1 if meta.is_file() => {
                fs::write(&path, b"changed").unwrap();
                adorn(random, &path);
            }
            2 => adorn(random, &path),
            3 if meta.is_dir() => grow(random, &path, 1),
            4 if meta.is_file() => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                grow(random, &path, 1);
            }
            _ => {}
        }
    }
    settle(directory);
}

/// Gives all directories a time that does not depend on when the test ran.
pub(crate) fn settle(directory: &Path) {
    let mut paths = vec![];
    collect(directory, &mut paths);
    for path in paths.iter().filter(|path| path.symlink_metadata().unwrap().is_dir()) {
        set_time(path, 1_234_567_890);
    }
}

fn name(random: &mut Random, i: u64) -> std::ffi::OsString {
    let name = match random.below(8) {
        0 => format!("with space {i}").into_bytes(),
        1 => format!("ünï-{i}").into_bytes(),
        2 => [b"raw-\xff\xfe-", i.to_string().as_bytes()].concat(),
        3 => format!("{}-{i}", "long".repeat(40)).into_bytes(),
        _ => format!("n{i}").into_bytes(),
    };
    std::ffi::OsString::from_vec(name)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root for owners and devices");
    }
    root
}

pub(crate) fn layer(upper: &Path, lower: Option<&Path>, form: super::diff::Form) -> Vec<u8> {
    let (upper, lower) = (open(upper), lower.map(open));
    let difference =
        super::diff::Difference { upper: upper.as_fd(), lower: lower.as_ref().map(AsFd::as_fd), form };
    super::diff::write_diff(difference, Default::default(), Vec::new()).unwrap()
}

pub(crate) fn apply_to(layer: &[u8], root: &Path, target: super::apply::Target) -> super::apply::Applied {
    try_apply(layer, root, target).unwrap()
}

pub(crate) fn try_apply(
    mut layer: &[u8],
    root: &Path,
    target: super::apply::Target,
) -> Result<super::apply::Applied, super::LayerError> {
    let options =
        super::apply::ApplyOptions { target, limits: Default::default(), expected: Default::default() };
    super::apply::apply(&mut layer, open(root).as_fd(), options)
}
