//! Making one entry that is no directory.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::metadata::{
    both, chmod, chown, chown_at, copy_xattrs, copy_xattrs_at, set_times_at, times_of,
};
use super::super::remove::remove_tree;
use super::super::tree::{is_directory, kind, stat_at};
use super::content::{self, Abilities};
use super::crew::Task;
use super::walk::join;
use super::{FileError, Plan, Result};

/// Copies a regular file with everything that belongs to it.
pub(super) fn file(plan: &Plan, task: &mut Task, abilities: &Abilities, buffer: &mut Vec<u8>) -> Result<()> {
    let created = match task.created.take() {
        Some(created) => created,
        None => create(plan, task)?,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let copied = rustix::fs::openat(&task.source, task.source_name.as_slice(), flags, Mode::empty())
        .and_then(|source| {
            content::copy(&source, &created, &task.stat, abilities, buffer)?;
            chown(&created, plan.owner_of(&task.stat))?;
            chmod(&created, plan.mode_of(&task.stat))?;
            copy_xattrs(&source, &created);
            rustix::fs::futimens(&created, &plan.time.map_or_else(|| times_of(&task.stat), both))
        });
    copied.map_err(|errno| FileError::io("failed to copy files", &path(task))(errno))
}

/// Makes the target of a file, empty and nobody else's.
pub(super) fn create(plan: &Plan, task: &Task) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    replacing(plan, task, || rustix::fs::openat(task.folder.target(), task.name.as_slice(), flags, mode))
}

/// What became of the wish to link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Linked {
    Done,
    /// This file has to be copied.
    NotThis,
    /// So have all others.
    Never,
}

/// Gives the source, which is in `holder`, another name instead of copying it; see [`super::Link`].
pub(super) fn link_to_source(plan: &Plan, task: &Task, holder: BorrowedFd<'_>) -> Result<Linked> {
    let error = |errno| FileError::io("failed to copy files", &path(task))(errno);
    let (source_name, name) = (task.source_name.as_slice(), task.name.as_slice());
    let Some(behind) = task.folder.behind(plan) else { return Ok(Linked::NotThis) };
    if !task.folder.is_new() && stat_at(task.folder.target(), name).map_err(error)?.is_some() {
        return Ok(Linked::NotThis);
    }
    match rustix::fs::linkat(holder, source_name, behind, name, AtFlags::empty()) {
        Ok(()) => Ok(Linked::Done),
        Err(Errno::EXIST | Errno::MLINK) => Ok(Linked::NotThis),
        Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => Ok(Linked::Never),
        Err(errno) => Err(error(errno)),
    }
}

/// Makes a link, a device, a pipe; of a socket only its name, as an empty file.
pub(super) fn special(plan: &Plan, task: &Task) -> Result<()> {
    let (target, name) = (task.folder.target(), task.name.as_slice());
    let error = |what| FileError::io(what, &path(task));
    if kind(&task.stat) == FileType::Symlink {
        let text = rustix::fs::readlinkat(&task.source, task.source_name.as_slice(), Vec::new())
            .map_err(error("failed to read link:"))?;
        replacing(plan, task, || rustix::fs::symlinkat(text.as_c_str(), target, name))?;
    } else {
        let made = match kind(&task.stat) {
            FileType::Socket => FileType::RegularFile,
            other => other,
        };
        let mode = Mode::from_raw_mode(0o600);
        replacing(plan, task, || rustix::fs::mknodat(target, name, made, mode, task.stat.st_rdev))?;
    }
    attributes(plan, task).map_err(error("failed to copy file info"))
}

fn attributes(plan: &Plan, task: &Task) -> rustix::io::Result<()> {
    let (target, name) = (task.folder.target(), task.name.as_slice());
    chown_at(target, name, plan.owner_of(&task.stat))?;
    if kind(&task.stat) != FileType::Symlink {
        let mode = Mode::from_raw_mode(plan.mode_of(&task.stat));
        rustix::fs::chmodat(target, name, mode, AtFlags::empty())?;
    }
    copy_xattrs_at((&task.source, &task.source_name), (target, name));
    set_times_at(target, name, &plan.time.map_or_else(|| times_of(&task.stat), both))
}

/// Runs `make`; if something is in the way, removes that and tries again.
pub(super) fn replacing<T>(plan: &Plan, task: &Task, make: impl Fn() -> rustix::io::Result<T>) -> Result<T> {
    let made = match make() {
        Err(Errno::EXIST) => {
            make_way(plan, task)?;
            make()
        }
        made => made,
    };
    made.map_err(|errno| FileError::io("failed to copy files", &path(task))(errno))
}

fn make_way(plan: &Plan, task: &Task) -> Result<()> {
    let (target, name) = (task.folder.target(), task.name.as_slice());
    let error = |what| FileError::io(what, &path(task));
    let existing = stat_at(target, name).map_err(error("failed to stat"))?;
    match existing {
        Some(stat) if is_directory(&stat) && !plan.replace => {
            Err(FileError::IsADirectory(String::from_utf8_lossy(&path(task)).into_owned()))
        }
        Some(_) => remove_tree(target, name, 0).map_err(error("failed to remove")),
        None => Ok(()),
    }
}

fn path(task: &Task) -> Vec<u8> {
    join(task.folder.path(), &task.name)
}
