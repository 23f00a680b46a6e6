//! The files of a tree in the order in which they are sent: by name within a directory, a directory
//! before its content. That is fsutil's order, which receivers insist on.
//!
//! Several trees can be one: each in a folder of its own (an export of several platforms), or merged.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use slipway_store::layer::tar::entry::{Entry, Kind, Time};
use slipway_store::{Mounted, Ref, inroot};

use crate::error::{Error, Result};

/// Directories inside each other.
const DEEPEST: usize = 400;

/// One file: its header, and how to read it.
pub struct TreeFile {
    /// Without a slash at either end. A hard link's `link` is the name of the first file of its inode.
    pub entry: Entry,
    content: FileContent,
}

enum FileContent {
    /// A directory that only the export has.
    None,
    /// By the name inside its own tree.
    Tree(Arc<Mounted>, Vec<u8>),
    Bytes(Bytes),
}

impl TreeFile {
    /// Opens a regular file, or one more name of it, for reading.
    pub fn open(&self) -> Result<File> {
        match (&self.content, self.entry.kind) {
            (FileContent::Tree(tree, inner), Kind::File | Kind::HardLink) => {
                Ok(inroot::open(&**tree, Path::new(std::ffi::OsStr::from_bytes(inner)))?)
            }
            (FileContent::Bytes(bytes), Kind::File) => in_memory(bytes).map_err(Error::output("keep a file")),
            _ => {
                let error = std::io::Error::other(format!("{:?} is no file", self.entry.display()));
                Err(Error::output("read the tree")(error))
            }
        }
    }
}

/// The files of one tree or several. An iterator; blocks.
#[derive(Default)]
pub struct Files {
    trees: VecDeque<Tree>,
}

/// A file that is not in the result, but goes with it.
#[derive(Clone, Debug)]
pub struct AddedFile {
    /// At the root.
    pub name: String,
    pub bytes: Bytes,
}

struct Tree {
    /// `None` is scratch.
    mounted: Option<Arc<Mounted>>,
    /// Sorted by name; take the place of files of the same name.
    added: VecDeque<AddedFile>,
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
        files.add(Some(reference), Vec::new(), "", epoch)?;
        Ok(files)
    }

    /// Adds a tree, with files beside it, below the folder `prefix` (one name, or empty). Trees are to be added in
    /// the order of their folders. All times become `epoch` if there is one.
    pub fn add(
        &mut self,
        reference: Option<&Ref>,
        mut added: Vec<AddedFile>,
        prefix: &str,
        epoch: Option<i64>,
    ) -> Result<()> {
        added.sort_by(|a, b| a.name.cmp(&b.name));
        self.trees.push_back(Tree {
            mounted: reference.map(Ref::mount).transpose()?.map(Arc::new),
            added: added.into(),
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
            return Ok(Some(TreeFile { entry, content: FileContent::None }));
        }
        if !self.started {
            self.started = true;
            if let Some(mounted) = &self.mounted {
                let root = open_directory(mounted.root(), b".").map_err(Error::output("open the tree"))?;
                self.enter(root)?;
            }
        }
        loop {
            if let Some(added) = self.next_added() {
                return Ok(Some(added));
            }
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
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
    }

    /// The next file beside the tree, if it comes before what is next in the tree.
    fn next_added(&mut self) -> Option<TreeFile> {
        let name = self.added.front()?.name.as_bytes();
        if let [root] = &mut self.levels[..] {
            match root.names.as_slice().first() {
                Some(next) if &next[..] < name => return None,
                Some(next) if next == name => drop(root.names.next()),
                _ => {}
            }
        } else if !self.levels.is_empty() {
            return None;
        }
        let AddedFile { name, bytes } = self.added.pop_front()?;
        let mut entry = Entry::new(Kind::File, self.full_name(name.as_bytes()));
        (entry.mode, entry.size) = (0o600, bytes.len() as u64);
        entry.modified.seconds = self.epoch.unwrap_or(0);
        Some(TreeFile { entry, content: FileContent::Bytes(bytes) })
    }

    fn full_name(&self, path: &[u8]) -> Vec<u8> {
        match &self.prefix[..] {
            b"" => path.to_vec(),
            prefix => [prefix, b"/", path].concat(),
        }
    }

    fn file(&mut self, name: &[u8]) -> Result<Option<TreeFile>> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let read = Error::output("read the tree");
        let stat = match statat(&level.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // The removal of a file that no layer below has: overlayfs lists it in a directory of one layer.
            Err(Errno::NOENT) => return Ok(None),
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
        let content = match &self.mounted {
            Some(mounted) => FileContent::Tree(mounted.clone(), self.path.clone()),
            None => FileContent::None,
        };
        Ok(Some(TreeFile { entry, content }))
    }

    /// The header; `None` for sockets.
    fn entry(&mut self, stat: &Stat) -> Option<Entry> {
        let kind = Kind::of(FileType::from_raw_mode(stat.st_mode))?;
        let mut entry = Entry::new(kind, self.full_name(&self.path));
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

/// A file that is in no folder.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let file = rustix::fs::memfd_create("attestation", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
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
