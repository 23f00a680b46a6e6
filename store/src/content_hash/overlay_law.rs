//! The law of inheritance, on real overlays: whatever was done to a tree, what a child inherits and
//! looks up in its upper directory gives the digest of hashing everything anew.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use super::*;

#[test]
fn inherited_digests_are_those_of_the_whole_tree() {
    for seed in 1..=12 {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let mut layers = vec![make(folder.path(), "base")];
        let mut random = Random(seed);
        for _ in 0..40 {
            random.change(&layers[0]);
        }
        let base = fs::File::open(&layers[0]).unwrap();
        let mut cache = ContentCache::default();
        cache.checksum(base.as_fd(), &[]).unwrap();
        // Children of children: each on all the layers before it.
        for child in 0..4 {
            let (upper, work) =
                (make(folder.path(), &format!("u{child}")), make(folder.path(), &format!("w{child}")));
            let Some(merged) = overlay(&layers, &upper, &work) else {
                println!("skipped: no overlay mounts here");
                return;
            };
            let root = PathBuf::from(format!("/proc/self/fd/{}", merged.as_raw_fd()));
            for _ in 0..15 {
                random.change(&root);
            }
            let inherited = cache.inherit(fs::File::open(&upper).unwrap().as_fd()).unwrap();
            let whole = checksum(merged.as_fd(), &[]).unwrap();
            assert_eq!(inherited.checksum(merged.as_fd(), &[]).unwrap(), whole, "seed {seed}, child {child}");
            let bytes = inherited.to_bytes(Some(&cache));
            let loaded = ContentCache::from_bytes(&bytes, Some(&cache)).unwrap();
            assert_eq!(
                loaded.checksum(merged.as_fd(), &[]).unwrap(),
                whole,
                "loaded, seed {seed}, child {child}"
            );
            layers.insert(0, upper);
            cache = inherited;
        }
    }
}

fn make(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// A mount nobody else sees, gone with its descriptor.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Option<OwnedFd> {
    let lower: Vec<&str> = lower.iter().map(|path| path.to_str().unwrap()).collect();
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    fsconfig_set_string(context.as_fd(), "lowerdir", lower.join(":")).ok()?;
    fsconfig_set_string(context.as_fd(), "upperdir", upper).ok()?;
    fsconfig_set_string(context.as_fd(), "workdir", work).ok()?;
    fsconfig_create(context.as_fd()).ok()?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).ok()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// One of few paths, so that changes meet.
    fn path(&mut self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        for _ in 0..=self.below(3) {
            path.push(["a", "b", "c"][self.below(3) as usize]);
        }
        path
    }

    /// Most changes fail somewhere, which is as good as any other.
    fn change(&mut self, root: &Path) {
        let (path, other) = (self.path(root), self.path(root));
        let _ = match self.below(9) {
            0 | 1 => fs::create_dir_all(&path),
            2 | 3 => fs::write(&path, format!("{}", self.below(5))),
            4 => symlink(other.file_name().unwrap(), &path),
            5 => fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)),
            6 => fs::rename(&path, &other),
            7 => fs::hard_link(&path, &other),
            _ => match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_symlink() => {
                    let mode = 0o700 | self.below(0o100) as u32;
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                }
                _ => Ok(()),
            },
        };
    }
}
