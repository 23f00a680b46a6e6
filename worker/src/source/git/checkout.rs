//! From a commit to files.
//!
//! A checkout has a repository of its own that borrows the kept one's objects: its index, its submodules and their
//! configuration end with it, and cannot disturb the next. With `git.keepgitdir` that repository is `.git`, fetched from
//! the kept one, and stays.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use slipway_store::{Active, PrepareOptions, RecordType, Ref};

use super::bundle;
use super::command::{Git, Place, Reach};
use super::repository::{self, Repository, kept_name};
use crate::blocking::blocking;
use crate::ops::cache_key::source::{GitIdentifier, ResolvedGit};
use crate::{Error, Result, Worker};

/// A snapshot of the tree, or of one folder of it.
pub(super) async fn checkout(
    worker: &Arc<Worker>,
    git: &Git,
    repository: &Repository,
    identifier: &GitIdentifier,
    resolved: &ResolvedGit,
    shown: &str,
) -> Result<Ref> {
    let failed = |error: Error| Error::Failed(format!("failed to checkout remote {shown}: {error}"));
    let options = PrepareOptions {
        record_type: RecordType::GitCheckout,
        description: format!("git snapshot for {shown}#{}", identifier.reference),
    };
    let active = Arc::new(worker.store.prepare(None, options)?);
    let files = Files { git, repository, object: &resolved.checksum };
    let folder = Some(identifier.subdir.as_str()).filter(|folder| !folder.is_empty());
    let submodules = !identifier.skip_submodules;
    let upper = active.upper_dir();
    match folder {
        _ if identifier.checkout_bundle => {
            repository::fetch_all(git, repository).await.map_err(failed)?;
            bundle::export(git, repository, identifier, &resolved.checksum, &upper).await.map_err(failed)?;
        }
        None if identifier.keep_git_dir => {
            files.with_git_dir(&upper, &resolved.reference, submodules, shown).await.map_err(failed)?;
        }
        None => files.without_git_dir(&upper, None, submodules).await.map_err(failed)?,
        Some(folder) => {
            let all = repository.scratch()?.join("files");
            std::fs::create_dir(&all).map_err(|error| Error::io("cannot make a folder", error))?;
            files.without_git_dir(&all, Some(folder), submodules).await.map_err(failed)?;
            let (folder, upper) = (folder.to_owned(), upper.clone());
            blocking(move || move_content(&all, &folder, &upper)).await?;
        }
    }
    let time = match identifier.mtime.as_str() {
        "commit" => Some(files.commit_time().await?),
        _ => None,
    };
    blocking(move || finish(active, time)).await
}

struct Files<'a> {
    git: &'a Git,
    repository: &'a Repository,
    object: &'a str,
}

impl Files<'_> {
    /// Writes the files, or those of `folder`, into `target`.
    async fn without_git_dir(&self, target: &Path, folder: Option<&str>, submodules: bool) -> Result<()> {
        let git_dir = match folder {
            // The scratch folder is in use: it holds `target`.
            Some(_) => target.with_file_name("git"),
            None => self.repository.scratch()?.join("git"),
        };
        let (path, kept) = (git_dir.clone(), self.repository.git_dir.clone());
        let sha256 = self.object.len() == 64;
        let remote = self.git.remote().to_owned();
        blocking(move || borrow_objects(&path, &kept, sha256, &remote)).await?;
        let place = Place { git_dir: Some(&git_dir), work_tree: Some(target) };
        let tree = format!("{}^{{tree}}", self.object);
        self.git.run(Reach::Here, place, &["read-tree", "--reset", &tree]).await?;
        let has_submodules =
            submodules && self.git.succeeds(place, &["cat-file", "-e", &format!("{tree}:.gitmodules")]).await;
        match folder {
            Some(folder) if !has_submodules => {
                let only = format!(":(top,literal){folder}");
                self.git.run(Reach::Here, place, &["checkout", "--quiet", "--force", "--", &only]).await?;
            }
            _ => drop(self.git.run(Reach::Here, place, &["checkout-index", "--all", "--force"]).await?),
        }
        if has_submodules {
            self.update_submodules(place).await?;
            let target = target.to_owned();
            blocking(move || each(&open(&target)?, &mut remove_pointer)).await?;
        }
        Ok(())
    }

    /// Writes the files and a repository beside them that knows this one commit.
    async fn with_git_dir(
        &self,
        target: &Path,
        reference: &str,
        submodules: bool,
        shown: &str,
    ) -> Result<()> {
        let git_dir = target.join(".git");
        let place = Place { git_dir: Some(&git_dir), work_tree: Some(target) };
        let format = if self.object.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.git.run(Reach::Here, place, &["init", "--quiet", format]).await?;
        // By protocol, not as a path: a local clone would link the kept objects, and trust them.
        let kept = format!("file://{}", self.repository.git_dir.display());
        let name = kept_name(self.object);
        let wanted = if reference == self.object { name } else { format!("{name}:{reference}") };
        let fetch = ["fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--", &kept, &wanted];
        self.git.run(Reach::Ours, place, &fetch).await?;
        self.git.run(Reach::Here, place, &["checkout", "--quiet", "FETCH_HEAD"]).await?;
        self.git.run(Reach::Here, place, &["remote", "add", "origin", self.git.remote()]).await?;
        if submodules && target.join(".gitmodules").exists() {
            self.update_submodules(place).await?;
        }
        self.git.run(Reach::Here, place, &["remote", "set-url", "origin", shown]).await?;
        match std::fs::remove_file(git_dir.join("FETCH_HEAD")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove FETCH_HEAD", error))
            }
            _ => Ok(()),
        }
    }

    async fn update_submodules(&self, place: Place<'_>) -> Result<()> {
        let whole = ["submodule", "--quiet", "update", "--init", "--recursive"];
        let shallow = [&whole[..], &["--depth=1"]].concat();
        let failed = |error: Error| Error::Failed(format!("failed to update submodules: {error}"));
        let updated = match self.git.run(Reach::Network, place, &shallow).await {
            // Servers that only hand out files know no depth.
            Err(error) if error.to_string().contains("shallow") => {
                self.git.run(Reach::Network, place, &whole).await
            }
            other => other,
        };
        updated.map(drop).map_err(failed)
    }

    /// Seconds since 1970.
    async fn commit_time(&self) -> Result<i64> {
        let commit = format!("{}^{{commit}}", self.object);
        let shown = self
            .git
            .run(Reach::Here, self.repository.place(), &["show", "-s", "--format=%ct", &commit])
            .await?;
        shown.trim().parse().map_err(|_| Error::Failed(format!("failed to parse commit timestamp {shown:?}")))
    }
}

/// A repository without objects of its own, written by hand: `git init` would be a process more for each checkout.
pub(super) fn borrow_objects(git_dir: &Path, kept: &Path, sha256: bool, remote: &str) -> Result<()> {
    let failed = |error| Error::io(format!("cannot make {}", git_dir.display()), error);
    std::fs::create_dir_all(git_dir.join("objects/info")).map_err(failed)?;
    std::fs::create_dir(git_dir.join("refs")).map_err(failed)?;
    let objects = kept.join("objects").into_os_string().into_encoded_bytes();
    std::fs::write(git_dir.join("objects/info/alternates"), [&objects[..], b"\n"].concat())
        .map_err(failed)?;
    std::fs::write(git_dir.join("HEAD"), "ref: refs/heads/master\n").map_err(failed)?;
    let format = if sha256 { "1\n[extensions]\n\tobjectFormat = sha256" } else { "0" };
    let quoted = remote.replace('\\', "\\\\").replace('"', "\\\"");
    // Submodules may be named relative to the remote.
    let config = format!(
        "[core]\n\tbare = false\n\trepositoryFormatVersion = {format}\n[remote \"origin\"]\n\turl = \"{quoted}\"\n"
    );
    if remote.contains('\n') {
        return Err(Error::Failed("a git remote has a line break in its address".into()));
    }
    std::fs::write(git_dir.join("config"), config).map_err(failed)
}

/// Moves what is in `folder` of `tree` to `target`. `folder` and all above it must be folders of the tree itself.
fn move_content(tree: &Path, folder: &str, target: &Path) -> Result<()> {
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::XDEV => {
            Error::Failed(format!("invalid subdir {folder}: git subpath {folder:?} contains non-directory"))
        }
        other => Error::io(format!("failed to open subdir {folder}"), other),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let tree = open(tree)?;
    let from = rustix::fs::openat2(&tree, folder, flags, Mode::empty(), inside).map_err(failed)?;
    let to = open(target)?;
    for name in names(from.as_fd())? {
        rustix::fs::renameat(&from, &*name.0, &to, &*name.0)
            .map_err(|error| Error::io(format!("cannot move the files of {folder}"), error))?;
    }
    Ok(())
}

/// Makes it a snapshot. All times become `time`, if one is given.
fn finish(active: Arc<Active>, time: Option<i64>) -> Result<Ref> {
    if let Some(seconds) = time {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        let root = open(&active.upper_dir())?;
        each(&root, &mut |folder, name, _| {
            rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        rustix::fs::futimens(&root, &times).map_err(|error| Error::io("cannot set a time", error))?;
    }
    let active =
        Arc::into_inner(active).ok_or_else(|| Error::Failed("the checkout is still in use".into()))?;
    Ok(active.commit()?)
}

fn open(folder: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, folder, flags, Mode::empty())
        .map_err(|error| Error::io(format!("cannot open {}", folder.display()), error))
}

type Name = (std::ffi::CString, FileType);

fn names(folder: BorrowedFd<'_>) -> Result<Vec<Name>> {
    let failed = |error| Error::io("cannot list a folder of the checkout", error);
    let mut found = Vec::new();
    for entry in Dir::read_from(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            found.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

type Visit<'a> = dyn FnMut(BorrowedFd<'_>, &CStr, FileType) -> rustix::io::Result<()> + 'a;

/// Visits everything below `folder`, a directory after what is in it.
fn each(folder: &OwnedFd, visit: &mut Visit<'_>) -> Result<()> {
    for (name, kind) in names(folder.as_fd())? {
        let failed = |error| Error::io(format!("cannot handle {name:?} of the checkout"), error);
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(folder, &*name, flags, Mode::empty()).map_err(failed)?;
            each(&below, visit)?;
        }
        visit(folder.as_fd(), &name, kind).map_err(failed)?;
    }
    Ok(())
}

/// Each submodule has a file `.git` that leads to its repository, which is about to go. No tree can hold such a file.
fn remove_pointer(folder: BorrowedFd<'_>, name: &CStr, kind: FileType) -> rustix::io::Result<()> {
    if name == c".git" && kind == FileType::RegularFile {
        return rustix::fs::unlinkat(folder, name, AtFlags::empty());
    }
    Ok(())
}
