//! How much disk a tree takes, counted as `du` counts: allocated blocks, a hard-linked file once.
//!
//! A file that has names in other trees too counts in each by its share of the names, so that the trees
//! together count it once.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{At as _, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Allocated bytes.
    pub bytes: u64,
    pub inodes: u64,
}

/// The usage of `path` and everything in it; names that vanish meanwhile are passed over.
pub fn disk_usage(path: &Path) -> Result<DiskUsage> {
    let mut count = Count::default();
    let stat = fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).at("stat", path)?;
    count.add(&stat);
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let directory = fs::openat(CWD, path, DIRECTORY, Mode::empty()).at("open", path)?;
        count.walk(directory).at("measure", path)?;
    }
    Ok(count.finish())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[derive(Default)]
struct Count {
    usage: DiskUsage,
    linked: HashMap<(u64, u64), Linked>,
}

/// A file with several names.
struct Linked {
    bytes: u64,
    names: u64,
    names_here: u64,
}

impl Count {
    fn add(&mut self, stat: &Stat) {
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !directory && stat.st_nlink > 1 {
            let file = self.linked.entry((stat.st_dev, stat.st_ino)).or_insert(Linked {
                bytes,
                names: stat.st_nlink,
                names_here: 0,
            });
            file.names_here += 1;
            return;
        }
        self.usage.inodes += 1;
        self.usage.bytes += bytes;
    }

    fn finish(mut self) -> DiskUsage {
        for file in self.linked.values() {
            self.usage.inodes += 1;
            self.usage.bytes += file.bytes * file.names_here.min(file.names) / file.names;
        }
        self.usage
    }

    fn walk(&mut self, directory: OwnedFd) -> rustix::io::Result<()> {
        let mut open = vec![Dir::new(directory)?];
        while let Some(names) = open.last_mut() {
            let Some(entry) = names.read() else {
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let parent = names.fd()?;
            let stat = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            self.add(&stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match fs::openat(parent.as_fd(), name, DIRECTORY, Mode::empty()) {
                    Ok(child) => open.push(Dir::new(child)?),
                    Err(Errno::NOENT | Errno::ACCESS) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
