//! The walk itself: both trees side by side, by directory descriptors, names in order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::same::{Side, Written, is_same};
use super::{DiffOptions, Form, header};
use crate::layer::tar::{Entry, Kind, Writer};
use crate::layer::{LayerError, whiteout};

/// Directories inside each other. Two descriptors are open for each.
const DEEPEST: usize = 400;

pub(super) struct Walk<W> {
    writer: Writer<W>,
    form: Form,
    options: DiffOptions,
    /// Whether a name that is only below is gone: in whole trees, and inside of opaque directories.
    hides: bool,
    path: Vec<u8>,
    /// The directories that lead here, outermost first; written once something inside is.
    parents: Vec<Entry>,
    written_directories: HashSet<Vec<u8>>,
    /// Files with several names, by inode: the name they were written under.
    written_links: HashMap<(u64, u64), Vec<u8>>,
    /// Unchanged names of such files; needed if another name turns out to be new.
    unchanged_links: HashMap<(u64, u64), Vec<Unchanged>>,
}

/// A name that was passed over, and the directories that lead to it.
struct Unchanged {
    parents: Vec<Entry>,
    name: Vec<u8>,
}

impl<W: Write> Walk<W> {
    pub(super) fn new(form: Form, options: DiffOptions, out: W) -> Self {
        Self {
            writer: Writer::new(out),
            form,
            options,
            hides: form == Form::Tree,
            path: Vec::new(),
            parents: Vec::new(),
            written_directories: HashSet::new(),
            written_links: HashMap::new(),
            unchanged_links: HashMap::new(),
        }
    }

    pub(super) fn finish(self) -> Result<W, LayerError> {
        self.writer.finish()
    }

    /// `lower` is the same directory below, if it is one there.
    pub(super) fn directory(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
    ) -> Result<(), LayerError> {
        if self.parents.len() >= DEEPEST {
            let path = String::from_utf8_lossy(&self.path).into_owned();
            return Err(LayerError::Limit { path, what: "depth of directories", limit: DEEPEST });
        }
        let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for name in list(upper, &self.path)? {
            names.insert(name, true);
        }
        if let (true, Some(lower)) = (self.hides, lower) {
            for name in list(lower, &self.path)? {
                names.entry(name).or_insert(false);
            }
        }
        for (name, in_upper) in names {
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let below = self.stat_below(lower, &name)?;
            match in_upper {
                true => self.name(upper, &name, lower, below.as_ref())?,
                false => self.deleted()?,
            }
            self.path.truncate(length);
        }
        Ok(())
    }

    fn name(
        &mut self,
        upper: BorrowedFd<'_>,
        name: &[u8],
        lower: Option<BorrowedFd<'_>>,
        below: Option<&Stat>,
    ) -> Result<(), LayerError> {
        let stat = stat(upper, name, &self.path)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 && self.form == Form::Overlay {
            return if below.is_some() { self.deleted() } else { Ok(()) };
        }
        if name.starts_with(whiteout::PREFIX) && self.form != Form::Literal {
            return Err(LayerError::malformed(
                &self.path,
                "no layer can hold a file whose name starts with .wh.",
            ));
        }
        let same = match (lower, below) {
            (Some(directory), Some(below)) => {
                let side = |directory, stat| Side { directory, name, stat };
                let written = if self.form == Form::Overlay { Written::Surely } else { Written::Perhaps };
                is_same(&side(upper, &stat), &side(directory, below), written, &self.path)?
            }
            _ => false,
        };
        let entry = header::entry(&self.path, &stat, self.options.latest_time);
        let Some(mut entry) = entry else { return Ok(()) };
        if self.form == Form::Literal {
            entry.modified.nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        }
        match kind {
            FileType::Directory => self.subdirectory(upper, name, entry, lower, below, same),
            _ => self.file(upper, name, entry, &stat, same),
        }
    }

    fn subdirectory(
        &mut self,
        upper: BorrowedFd<'_>,
        name: &[u8],
        mut entry: Entry,
        lower: Option<BorrowedFd<'_>>,
        below: Option<&Stat>,
        same: bool,
    ) -> Result<(), LayerError> {
        let opened = open_directory(upper, name, &self.path)?;
        entry.xattrs = header::xattrs(&opened, &self.path)?;
        let is_below =
            below.is_some_and(|below| FileType::from_raw_mode(below.st_mode) == FileType::Directory);
        let opaque = self.is_opaque(&opened)?;
        let lower = match lower {
            Some(lower) if is_below => Some(open_directory(lower, name, &self.path)?),
            _ => None,
        };
        if !same {
            self.write_parents()?;
            self.write_directory(&entry)?;
        }
        self.parents.push(entry);
        let hides = self.hides;
        self.hides = hides || opaque;
        self.directory(opened.as_fd(), lower.as_ref().map(AsFd::as_fd))?;
        self.hides = hides;
        self.parents.pop();
        Ok(())
    }

    fn file(
        &mut self,
        upper: BorrowedFd<'_>,
        name: &[u8],
        mut entry: Entry,
        stat: &Stat,
        same: bool,
    ) -> Result<(), LayerError> {
        let inode = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        if let Some(first) = inode.and_then(|inode| self.written_links.get(&inode)) {
            let link = Entry { kind: Kind::HardLink, link: first.clone(), size: 0, ..entry };
            self.write_parents()?;
            return self.writer.header(&link);
        }
        if same {
            if let Some(inode) = inode {
                let unchanged = Unchanged { parents: self.parents.clone(), name: entry.name };
                self.unchanged_links.entry(inode).or_default().push(unchanged);
            }
            return Ok(());
        }
        self.write_parents()?;
        match entry.kind {
            Kind::File => self.regular(upper, name, &mut entry)?,
            Kind::Symlink => {
                let target = readlinkat(upper, name, Vec::new());
                entry.link = target.map_err(LayerError::file("read the link", &self.path))?.into_bytes();
                self.writer.header(&entry)?;
            }
            _ => self.writer.header(&entry)?,
        }
        match inode {
            Some(inode) => self.link_unchanged(inode, entry),
            None => Ok(()),
        }
    }

    fn regular(&mut self, upper: BorrowedFd<'_>, name: &[u8], entry: &mut Entry) -> Result<(), LayerError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            openat(upper, name, flags, Mode::empty()).map_err(LayerError::file("open", &self.path))?;
        entry.xattrs = header::xattrs(&opened, &self.path)?;
        if self.form == Form::Overlay && overlay_attribute(&opened, "metacopy", &self.path)?.is_some() {
            return Err(LayerError::Redirected { path: entry.display() });
        }
        self.writer.append(entry, &mut File::from(opened))
    }

    /// A file that was written new has older names too: they are links to it now.
    fn link_unchanged(&mut self, inode: (u64, u64), entry: Entry) -> Result<(), LayerError> {
        for Unchanged { parents, name } in self.unchanged_links.remove(&inode).unwrap_or_default() {
            let here = std::mem::replace(&mut self.parents, parents);
            self.write_parents()?;
            self.parents = here;
            let link =
                Entry { kind: Kind::HardLink, link: entry.name.clone(), name, size: 0, ..entry.clone() };
            self.writer.header(&link)?;
        }
        self.written_links.insert(inode, entry.name);
        Ok(())
    }

    fn deleted(&mut self) -> Result<(), LayerError> {
        self.write_parents()?;
        let at = self.path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = self.path.split_at(at);
        self.writer.header(&Entry::new(Kind::File, [directory, whiteout::PREFIX, name].concat()))
    }

    fn write_parents(&mut self) -> Result<(), LayerError> {
        for parent in std::mem::take(&mut self.parents) {
            if !self.written_directories.contains(&parent.name) {
                self.write_directory(&parent)?;
            }
            self.parents.push(parent);
        }
        Ok(())
    }

    fn write_directory(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.writer.header(entry)?;
        self.written_directories.insert(entry.name.clone());
        Ok(())
    }

    fn is_opaque(&self, directory: &OwnedFd) -> Result<bool, LayerError> {
        if self.form != Form::Overlay {
            return Ok(false);
        }
        if overlay_attribute(directory, "redirect", &self.path)?.is_some() {
            return Err(LayerError::Redirected { path: String::from_utf8_lossy(&self.path).into_owned() });
        }
        Ok(overlay_attribute(directory, "opaque", &self.path)?.is_some_and(|value| value == b"y"))
    }

    fn stat_below(&self, lower: Option<BorrowedFd<'_>>, name: &[u8]) -> Result<Option<Stat>, LayerError> {
        let Some(lower) = lower else { return Ok(None) };
        match statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(LayerError::file("look up", &self.path)(error)),
        }
    }
}

fn overlay_attribute(file: &OwnedFd, name: &str, path: &[u8]) -> Result<Option<Vec<u8>>, LayerError> {
    for namespace in ["trusted", "user"] {
        if let Some(value) = header::value(file, format!("{namespace}.overlay.{name}").as_bytes(), path)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn stat(directory: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Stat, LayerError> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(LayerError::file("look up", path))
}

fn open_directory(directory: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).map_err(LayerError::file("open", path))
}

fn list(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>, LayerError> {
    let read = || -> rustix::io::Result<Vec<Vec<u8>>> {
        let entries = Dir::read_from(directory)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec()));
        let names = names.collect::<rustix::io::Result<Vec<_>>>()?;
        Ok(names.into_iter().filter(|name| name != b"." && name != b"..").collect())
    };
    read().map_err(|error| LayerError::file("list", path)(io::Error::from(error)))
}
