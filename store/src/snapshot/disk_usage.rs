//! How much disk a tree takes, counted as `du` counts: allocated blocks, a hard-linked file once.
//!
//! A file that has names in other trees too counts in each by its share of the names, so that the trees
//! together count it once.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
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

    fn walk(&mut self, top: OwnedFd) -> rustix::io::Result<()> {
        let mut later = Later { paths: vec![Vec::new()], bytes: 0 };
        while let Some(path) = later.pop() {
            match descend(&top, &path) {
                Ok(directory) => self.walk_levels(directory, path, &mut later)?,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts what is in `directory`, whose names from the top are `path`; what lies too deep is put off.
    fn walk_levels(
        &mut self,
        directory: OwnedFd,
        mut path: Vec<CString>,
        later: &mut Later,
    ) -> rustix::io::Result<()> {
        let top = path.len();
        let mut open = vec![Dir::new(directory)?];
        while let Some(names) = open.last_mut() {
            let Some(entry) = names.read() else {
                open.pop();
                path.pop();
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
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                continue;
            }
            path.push(name.to_owned());
            if path.len() - top >= DEEPEST {
                later.push(&path);
                path.pop();
                continue;
            }
            match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
                Ok(child) => open.push(Dir::new(child)?),
                Err(Errno::NOENT | Errno::ACCESS) => {
                    path.pop();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A tree may be deeper than descriptors can be open.
const DEEPEST: usize = 40;

/// Directories put off, by their names from the top.
struct Later {
    paths: Vec<Vec<CString>>,
    bytes: usize,
}

/// Memory for paths put off. A tree that needs more was made to need it, and is counted short.
const LATER_BYTES: usize = 32 << 20;

impl Later {
    fn push(&mut self, path: &[CString]) {
        let bytes = memory(path);
        if self.bytes + bytes > LATER_BYTES {
            tracing::warn!("a tree with too many deep directories is not measured whole");
            return;
        }
        self.bytes += bytes;
        self.paths.push(path.to_vec());
    }

    fn pop(&mut self) -> Option<Vec<CString>> {
        let path = self.paths.pop()?;
        self.bytes -= memory(&path);
        Some(path)
    }
}

fn memory(path: &[CString]) -> usize {
    path.iter().map(|name| name.as_bytes().len() + 48).sum()
}

/// The directory that `path` leads to, name by name.
fn descend(top: &OwnedFd, path: &[CString]) -> rustix::io::Result<OwnedFd> {
    let mut directory = fs::openat(top, c".", DIRECTORY, Mode::empty())?;
    for name in path {
        directory = fs::openat(&directory, name, DIRECTORY, Mode::empty())?;
    }
    Ok(directory)
}
