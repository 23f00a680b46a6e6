//! The files of a tree in the order in which they are sent: by name within a directory, a directory
//! before its content. That is fsutil's order, which receivers insist on.
//!
//! Several trees can be one: each in a folder of its own (an export of several platforms), or merged.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use slipway_store::layer::tar::entry::{Entry, Kind, Time};
use slipway_store::{Mounted, Ref, inroot};

use crate::error::{Error, Result};

/// Directories inside each other.
const DEEPEST: usize = 400;

/// One file: its header, and how to read it.
pub struct TreeFile {
    /// Without a slash at either end. A hard link's `link` is the name of the first file of its inode.
    pub entry: Entry,
    tree: Option<Arc<Mounted>>,
    /// The name inside its own tree.
    inner: Vec<u8>,
}

impl TreeFile {
    /// Opens a regular file, or one more name of it, for reading.
    pub fn open(&self) -> Result<File> {
        let tree = match (&self.tree, self.entry.kind) {
            (Some(tree), Kind::File | Kind::HardLink) => tree,
            _ => {
                let error = std::io::Error::other(format!("{:?} is no file", self.entry.display()));
                return Err(Error::output("read the tree")(error));
            }
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(&self.inner));
        Ok(inroot::open(&**tree, path)?)
    }
}

/// The files of one tree or several. An iterator; blocks.
#[derive(Default)]
pub struct Files {
    trees: VecDeque<Tree>,
}

struct Tree {
    mounted: Arc<Mounted>,
    /// In front of every name; made first if not empty.
    prefix: Vec<u8>,
    prefix_made: bool,
    epoch: Option<i64>,
    levels: Vec<Level>,
    path: Vec<u8>,
    first_names: HashMap<(u64, u64), Vec<u8>>,
    started: bool,
}

struct Level {
    directory: OwnedFd,
    names: std::vec::IntoIter<Vec<u8>>,
    path_length: usize,
}

impl Files {
    /// All of `reference`.
    pub fn of(reference: &Ref, epoch: Option<i64>) -> Result<Self> {
        let mut files = Self::default();
        files.add(reference, "", epoch)?;
        Ok(files)
    }

    /// Adds a tree below the folder `prefix` (one name, or empty). Trees are to be added in the order of
    /// their folders. All times become `epoch` if there is one.
    pub fn add(&mut self, reference: &Ref, prefix: &str, epoch: Option<i64>) -> Result<()> {
        self.trees.push_back(Tree {
            mounted: Arc::new(reference.mount()?),
            prefix: prefix.as_bytes().to_vec(),
            prefix_made: prefix.is_empty(),
            epoch,
            levels: Vec::new(),
            path: Vec::new(),
            first_names: HashMap::new(),
            started: false,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<TreeFile>> {
        while let Some(tree) = self.trees.front_mut() {
            if let Some(file) = tree.step()? {
                return Ok(Some(file));
            }
            self.trees.pop_front();
        }
        Ok(None)
    }
}

impl Iterator for Files {
    type Item = Result<TreeFile>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.trees.clear();
        }
        step.transpose()
    }
}

impl Tree {
    fn step(&mut self) -> Result<Option<TreeFile>> {
        if !self.prefix_made {
            self.prefix_made = true;
            let mut entry = Entry::new(Kind::Directory, self.prefix.clone());
            entry.mode = 0o755;
            entry.modified.seconds = self.epoch.unwrap_or(0);
            return Ok(Some(TreeFile { entry, tree: None, inner: Vec::new() }));
        }
        if !self.started {
            self.started = true;
            let root = open_directory(self.mounted.root(), b".").map_err(Error::output("open the tree"))?;
            self.enter(root)?;
        }
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path_length);
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            if let Some(file) = self.file(&name)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn file(&mut self, name: &[u8]) -> Result<Option<TreeFile>> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let read = Error::output("read the tree");
        let stat = match statat(&level.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => return Err(read(error.into())),
        };
        let Some(mut entry) = self.entry(&stat) else { return Ok(None) };
        let Some(level) = self.levels.last() else { return Ok(None) };
        match entry.kind {
            Kind::Symlink => {
                let target =
                    readlinkat(&level.directory, name, Vec::new()).map_err(|error| read(error.into()))?;
                entry.link = target.into_bytes();
            }
            Kind::Directory => {
                let inside = open_directory(level.directory.as_fd(), name).map_err(read)?;
                entry.xattrs = xattrs(&inside);
                self.enter(inside)?;
            }
            Kind::File => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let opened = openat(&level.directory, name, flags, Mode::empty())
                    .map_err(|error| read(error.into()))?;
                entry.xattrs = xattrs(&opened);
            }
            _ => {}
        }
        Ok(Some(TreeFile { entry, tree: Some(self.mounted.clone()), inner: self.path.clone() }))
    }

    /// The header; `None` for sockets.
    fn entry(&mut self, stat: &Stat) -> Option<Entry> {
        let kind = Kind::of(FileType::from_raw_mode(stat.st_mode))?;
        let name = match &self.prefix[..] {
            b"" => self.path.clone(),
            prefix => [prefix, b"/", &self.path].concat(),
        };
        let mut entry = Entry::new(kind, name);
        entry.mode = stat.st_mode & 0o7777;
        (entry.uid, entry.gid) = (u64::from(stat.st_uid), u64::from(stat.st_gid));
        entry.size = if kind == Kind::File { stat.st_size.cast_unsigned() } else { 0 };
        entry.modified = match self.epoch {
            Some(seconds) => Time { seconds, nanoseconds: 0 },
            None => Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
        };
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device_major = rustix::fs::major(stat.st_rdev);
            entry.device_minor = rustix::fs::minor(stat.st_rdev);
        }
        if stat.st_nlink > 1 && kind == Kind::File {
            let first =
                self.first_names.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| entry.name.clone());
            if *first != entry.name {
                (entry.kind, entry.link, entry.size) = (Kind::HardLink, first.clone(), 0);
            }
        }
        Some(entry)
    }

    fn enter(&mut self, directory: OwnedFd) -> Result<()> {
        if self.levels.len() >= DEEPEST {
            let too_deep =
                std::io::Error::other(format!("more than {DEEPEST} directories inside each other"));
            return Err(Error::output("read the tree")(too_deep));
        }
        let names = list(&directory).map_err(|error| Error::output("list a directory")(error.into()))?;
        self.levels.push(Level { directory, names: names.into_iter(), path_length: self.path.len() });
        Ok(())
    }
}

fn list(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn open_directory(at: impl AsFd, name: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

/// The user's own attributes and capabilities; what cannot be read is not sent.
fn xattrs(file: &OwnedFd) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::flistxattr(file, &mut names[..]) else { return Vec::new() };
    let wanted = names[..length].split(|b| *b == 0).filter(|name| {
        *name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
    });
    let read = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::fgetxattr(file, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some((name.to_vec(), value))
    };
    let mut xattrs: Vec<_> = wanted.filter_map(read).collect();
    xattrs.sort();
    xattrs
}
