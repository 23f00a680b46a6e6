//! Entries to files.
//!
//! The order for one file matters: content, then owner (which clears set-user-id), then mode, then
//! attributes (a capability is cleared by a change of owner), then times. Directories get their times
//! at the very end, since every file made inside changes them.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, setxattr, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::place::{Place, Places, clean};
use super::{ApplyOptions, Target, remove};
use crate::fault::{self, Point};
use crate::layer::LayerError;
use crate::layer::tar::Reader;
use crate::layer::tar::entry::{Entry, Kind, Time};
use crate::layer::whiteout::{Whiteout, is_overlay_attribute};

/// The tree that is being written.
pub(super) struct Tree<'a> {
    places: Places<'a>,
    options: ApplyOptions,
    entries: usize,
    directory_times: Vec<(Vec<u8>, Time)>,
    /// What this layer wrote: an opaque mark may come after what it must spare. Whole trees only.
    written: HashSet<Vec<u8>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, options: ApplyOptions) -> Self {
        let places = Places::new(root);
        Self { places, options, entries: 0, directory_times: Vec::new(), written: HashSet::new() }
    }

    pub(super) fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        content: &mut Reader<R>,
    ) -> Result<(), LayerError> {
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            let limit = self.options.limits.entries;
            return Err(LayerError::Limit { path: entry.display(), what: "number of entries", limit });
        }
        let path = clean(&entry.name);
        if path.is_empty() {
            return Ok(()); // The root is the caller's, as with the reference.
        }
        let place = self.places.of(&path)?;
        let literal = self.options.target == Target::Literal;
        match if literal { Whiteout::None } else { Whiteout::of(place.name) } {
            Whiteout::Opaque => return self.make_opaque(&place, &path),
            Whiteout::Deleted(name) => {
                return self.delete(&Place { directory: place.directory, name }, &path);
            }
            Whiteout::Meta => return Ok(()),
            Whiteout::Invalid => {
                return Err(LayerError::malformed(&entry.name, "a whiteout that names no file"));
            }
            Whiteout::None => {}
        }
        if !literal && entry.kind == Kind::CharDevice && (entry.device_major, entry.device_minor) == (0, 0) {
            return self.delete(&place, &path);
        }
        fault::pass(Point::LayerEntry).map_err(LayerError::file("create", &path))?;
        self.create(&place, &path, entry, content)?;
        if self.options.target == Target::Tree {
            self.written.insert(path);
        }
        Ok(())
    }

    /// Sets what could not be set before; the directories that are not in the layer.
    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, LayerError> {
        self.places.forget();
        for (path, time) in std::mem::take(&mut self.directory_times) {
            // It may have been replaced or deleted since.
            let Ok(place) = self.places.existing(&path) else { continue };
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(directory) = openat(&*place.directory, place.name, flags, Mode::empty()) {
                futimens(&directory, &timestamps(time))
                    .map_err(LayerError::file("set the times of", &path))?;
            }
        }
        Ok(self.places.implied.into_iter().collect())
    }

    fn create<R: BufRead>(
        &mut self,
        place: &Place<'_>,
        path: &[u8],
        entry: &Entry,
        content: &mut Reader<R>,
    ) -> Result<(), LayerError> {
        match entry.kind {
            Kind::File => {
                let file = self.exclusively(place, path, |place| {
                    let flags =
                        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    openat(&*place.directory, place.name, flags, Mode::from_raw_mode(0o600))
                })?;
                self.fill(file, path, entry, content)
            }
            Kind::Directory => self.directory(place, path, entry),
            Kind::HardLink => self.hard_link(place, path, entry),
            Kind::Symlink => {
                let target = &entry.link[..];
                self.exclusively(place, path, |place| symlinkat(target, &*place.directory, place.name))?;
                self.finish_special(place, path, entry)
            }
            Kind::CharDevice => self.device(place, path, entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.device(place, path, entry, FileType::BlockDevice),
            Kind::Fifo => self.device(place, path, entry, FileType::Fifo),
        }
    }

    /// Runs `make`, which fails if there is something; then removes that and runs it once more.
    fn exclusively<T>(
        &mut self,
        place: &Place<'_>,
        path: &[u8],
        make: impl Fn(&Place<'_>) -> rustix::io::Result<T>,
    ) -> Result<T, LayerError> {
        match make(place) {
            Err(Errno::EXIST) => {
                self.remove(place, path)?;
                make(place)
            }
            other => other,
        }
        .map_err(LayerError::file("create", path))
    }

    fn remove(&mut self, place: &Place<'_>, path: &[u8]) -> Result<(), LayerError> {
        let failed = || LayerError::file("replace", path);
        let kind = remove::kind_of(place.directory.as_fd(), place.name).map_err(failed())?;
        if matches!(kind, Some(FileType::Directory | FileType::Symlink)) {
            self.places.forget();
        }
        remove::remove(place.directory.as_fd(), place.name).map_err(failed())
    }

    fn fill<R: BufRead>(
        &self,
        file: OwnedFd,
        path: &[u8],
        entry: &Entry,
        content: &mut Reader<R>,
    ) -> Result<(), LayerError> {
        let file = File::from(file);
        let mut end = 0;
        content.data(|offset, bytes| {
            end = offset + bytes.len() as u64;
            file.write_all_at(bytes, offset).map_err(LayerError::file("write", path))
        })?;
        if end < entry.size {
            file.set_len(entry.size).map_err(LayerError::file("write", path))?;
        }
        self.finish_open(&file, path, entry)?;
        futimens(&file, &timestamps(entry.modified)).map_err(LayerError::file("set the times of", path))
    }

    fn directory(&mut self, place: &Place<'_>, path: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let make = |place: &Place<'_>| mkdirat(&*place.directory, place.name, Mode::from_raw_mode(0o700));
        match make(place) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let failed = || LayerError::file("create", path);
                let stat =
                    statat(&*place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed())?;
                let kind = FileType::from_raw_mode(stat.st_mode);
                if kind != FileType::Directory {
                    self.remove(place, path)?;
                    make(place).map_err(failed())?;
                    // Deleted and made anew: what is below must not show through.
                    if let (Target::Overlay(_), FileType::CharacterDevice) = (self.options.target, kind) {
                        self.mark_opaque(&open_directory(place, path)?, path)?;
                    }
                }
            }
            Err(error) => return Err(LayerError::file("create", path)(error)),
        }
        self.places.implied.remove(path);
        self.finish_open(&open_directory(place, path)?, path, entry)?;
        self.directory_times.push((path.to_vec(), entry.modified));
        Ok(())
    }

    fn hard_link(&mut self, place: &Place<'_>, path: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let target = clean(&entry.link);
        if target.is_empty() || target == path {
            return Err(LayerError::malformed(&entry.name, "a hard link to itself or to the root"));
        }
        let failed = || {
            let link = String::from_utf8_lossy(&entry.link).into_owned();
            move |source: Errno| LayerError::File {
                action: "make a hard link",
                path: format!("{} -> {link}", entry.display()),
                source: source.into(),
            }
        };
        let from = self.places.existing(&target)?;
        // Looked at first, so that nothing is removed for a link that cannot be made.
        statat(&*from.directory, from.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed())?;
        let link = || linkat(&*from.directory, from.name, &*place.directory, place.name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                self.remove(place, path)?;
                link().map_err(failed())
            }
            other => other.map_err(failed()),
        }
    }

    fn device(
        &mut self,
        place: &Place<'_>,
        path: &[u8],
        entry: &Entry,
        kind: FileType,
    ) -> Result<(), LayerError> {
        let device = makedev(entry.device_major, entry.device_minor);
        self.exclusively(place, path, |place| {
            mknodat(&*place.directory, place.name, kind, Mode::from_raw_mode(0o600), device)
        })?;
        self.finish_special(place, path, entry)
    }

    fn finish_open(&self, file: &impl AsFd, path: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let (uid, gid) = owner(entry)?;
        fchown(file, uid, gid).map_err(LayerError::file("set the owner of", path))?;
        fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(LayerError::file("set the mode of", path))?;
        self.set_xattrs(path, entry, |name, value| fsetxattr(file, name, value, XattrFlags::empty()))
    }

    /// For what cannot be opened: symlinks, devices, fifos.
    fn finish_special(&self, place: &Place<'_>, path: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let (directory, name) = (&*place.directory, place.name);
        let (uid, gid) = owner(entry)?;
        chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(LayerError::file("set the owner of", path))?;
        if entry.kind != Kind::Symlink {
            // Just made here, exclusively: it is no symlink.
            chmodat(directory, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(LayerError::file("set the mode of", path))?;
        }
        if !entry.xattrs.is_empty() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let itself =
                openat(directory, name, flags, Mode::empty()).map_err(LayerError::file("open", path))?;
            let itself = format!("/proc/self/fd/{}", itself.as_fd().as_raw_fd());
            self.set_xattrs(path, entry, |name, value| setxattr(&*itself, name, value, XattrFlags::empty()))?;
        }
        utimensat(directory, name, &timestamps(entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(LayerError::file("set the times of", path))
    }

    fn set_xattrs(
        &self,
        path: &[u8],
        entry: &Entry,
        set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
    ) -> Result<(), LayerError> {
        for (name, value) in &entry.xattrs {
            let limit = self.options.limits.xattr;
            if value.len() > limit {
                return Err(LayerError::Limit { path: entry.display(), what: "extended attribute", limit });
            }
            if is_overlay_attribute(name) || name.contains(&0) {
                continue;
            }
            match set(name, value) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                // Not for this kind of file, or not for this user; only capabilities must not be lost.
                Err(Errno::PERM) if name != b"security.capability" => {}
                Err(error) => return Err(LayerError::file("set an extended attribute of", path)(error)),
            }
        }
        Ok(())
    }

    fn make_opaque(&mut self, marker: &Place<'_>, path: &[u8]) -> Result<(), LayerError> {
        let directory = &path[..path.len() - marker.name.len()];
        let directory = clean(directory);
        match self.options.target {
            Target::Overlay(_) => self.mark_opaque(&marker.directory, path),
            Target::Tree | Target::Literal => {
                self.places.forget();
                remove::empty(marker.directory.as_fd(), &directory, &self.written)
                    .map_err(LayerError::file("empty", &directory))
            }
        }
    }

    fn delete(&mut self, place: &Place<'_>, path: &[u8]) -> Result<(), LayerError> {
        let Target::Overlay(_) = self.options.target else {
            let parent = path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &path[..=at]);
            return if self.written.contains(&[parent, place.name].concat()) {
                Ok(())
            } else {
                self.remove(place, path)
            };
        };
        let make = || {
            mknodat(&*place.directory, place.name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
        };
        match make() {
            // It is this layer's own, and a deletion speaks of what is below only.
            Err(Errno::EXIST) => match remove::kind_of(place.directory.as_fd(), place.name) {
                Ok(Some(FileType::Directory)) => self.mark_opaque(&open_directory(place, path)?, path),
                Ok(_) => Ok(()),
                Err(error) => Err(LayerError::file("delete", path)(error)),
            },
            other => other.map_err(LayerError::file("delete", path)),
        }
    }

    fn mark_opaque(&self, directory: &OwnedFd, path: &[u8]) -> Result<(), LayerError> {
        let Target::Overlay(namespace) = self.options.target else { return Ok(()) };
        fsetxattr(directory, namespace.opaque(), b"y", XattrFlags::empty())
            .map_err(LayerError::file("mark", path))
    }
}

fn open_directory(place: &Place<'_>, path: &[u8]) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&*place.directory, place.name, flags, Mode::empty()).map_err(LayerError::file("open", path))
}

fn owner(entry: &Entry) -> Result<(Option<Uid>, Option<Gid>), LayerError> {
    let number = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (number(entry.uid), number(entry.gid)) {
        (Some(uid), Some(gid)) => Ok((Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))),
        _ => Err(LayerError::malformed(&entry.name, "its owner is out of range")),
    }
}

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
