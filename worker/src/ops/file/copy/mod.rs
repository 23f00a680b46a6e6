//! Copying from one tree to another.
//!
//! Where things go follows `cp -a` with the reference's refinements: a directory copied to an
//! existing one lands inside it, unless only its contents were asked for; a file copied to a
//! directory lands inside; what is missing above is made.

mod content;
mod crew;
mod folder;
mod layers;
mod leaf;
mod walk;

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Stat, Timespec};
use rustix::io::Errno;
use slipway_model::lexical;
use slipway_model::llb::pb;
use slipway_model::pattern::PatternMatcher;

use super::create::Made;
use super::metadata::timestamp;
use super::mode::ModeChange;
use super::owner::Owner;
use super::tree::{Tree, is_directory};
use super::{FileError, Result, unpack, wildcard};
pub use layers::Layers;

const DEFAULT_DIRECTORY_MODE: u32 = 0o755;

/// Whether a file may become another name of its source instead of a copy.
///
/// Allow it only if neither tree is ever written again through that name: both will share the
/// file's bytes and attributes for good. It is done where nothing about the file changes.
///
/// A link cannot go from one mount to another, even of the same file system. So it goes from a layer of
/// the source to the target's upper directory, behind both overlays. That shows in the target as if it was
/// made through it, as long as nothing asks for the name before: new directories are safe, in others the
/// overlay is asked first, and a name that is taken in either is left to be replaced by a copy.
#[derive(Clone, Copy, Default)]
pub enum Link<'a> {
    #[default]
    Never,
    Behind {
        /// Where what is written to the target ends up; the target itself if that is no overlay.
        directory: BorrowedFd<'a>,
        /// Asked once with the paths of what is copied and what it becomes, both without links: which layers of
        /// the source may files be linked from?
        permit: &'a Permit<'a>,
        /// Asked once for each of them, before the first file is linked from it: may it be?
        begin: &'a dyn Fn(usize) -> bool,
    },
}

/// Which layers of the source may files be linked from, of one path to another?
pub(super) type Permit<'a> = dyn Fn(&[u8], &[u8]) -> Option<Layers> + 'a;

/// Copies `action.src` of `source` to `action.dest` of `target`. On an error part of it is done.
pub fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    action: &pb::FileActionCopy,
    owner: Option<Owner>,
    link: Link<'_>,
) -> Result<()> {
    let (source, target) = (Tree { root: source }, Tree { root: target });
    let (src, dest) = (with_ending(&action.src), with_ending(&action.dest));
    if !action.create_dest_path {
        check_parent(&target, action)?;
    }
    let paths = matched(&source, &src, action)?;
    // Of several, a later one may replace what an earlier one made, and must see it.
    let link = if paths.len() == 1 { link } else { Link::Never };
    let mut plan = Plan::new(action, owner)?;
    for path in paths {
        let unpacked = action.attempt_unpack_docker_compatibility
            && unpack::unpack(&source, &path, &target, &dest, owner, plan.time)?;
        if !unpacked {
            plan.copy_one((&source, &path), (&target, &dest), link)?;
        }
    }
    Ok(())
}

/// A cleaned absolute path that still ends in `/` or `/.`, which mean something here.
fn with_ending(path: &str) -> Vec<u8> {
    let mut clean = lexical::absolute(path.as_bytes());
    let root = clean == b"/";
    if path.ends_with("/.") {
        clean.extend_from_slice(if root { b"." } else { b"/." });
    } else if path.ends_with('/') && !root {
        clean.push(b'/');
    }
    clean
}

fn check_parent(target: &Tree<'_>, action: &pb::FileActionCopy) -> Result<()> {
    let parent = lexical::parent(&target.real_path(action.dest.as_bytes(), true)?);
    let missing = || FileError::io("lstat", &parent)(Errno::NOENT);
    match target.stat(&parent) {
        Ok(Some(_)) => Ok(()),
        found => {
            let source = Box::new(found.err().unwrap_or_else(missing));
            Err(FileError::Destination { dest: action.dest.clone(), source })
        }
    }
}

fn matched(source: &Tree<'_>, src: &[u8], action: &pb::FileActionCopy) -> Result<Vec<Vec<u8>>> {
    if !action.allow_wildcard {
        return Ok(vec![src.to_vec()]);
    }
    let paths = wildcard::resolve(source, src, action.follow_symlink)?;
    if paths.is_empty() && !action.allow_empty_wildcard {
        return Err(FileError::NoMatch(String::from_utf8_lossy(src).into_owned()));
    }
    Ok(paths)
}

/// What the action asks for, parsed.
struct Plan {
    include: Option<PatternMatcher>,
    exclude: Option<PatternMatcher>,
    owner: Option<Owner>,
    mode: Option<ModeChange>,
    time: Option<Timespec>,
    /// Mode of directories made above the target.
    parent_mode: u32,
    contents_only: bool,
    follow: bool,
    replace: bool,
    /// See [`Link::Behind`].
    link: Option<(OwnedFd, Layers)>,
}

impl Plan {
    fn new(action: &pb::FileActionCopy, owner: Option<Owner>) -> Result<Self> {
        let number = Some(action.mode).filter(|mode| *mode != -1 && action.mode_str.is_empty());
        let mode = match number {
            Some(number) => Some(format!("{:o}", number & 0o7777)),
            None => Some(action.mode_str.clone()).filter(|text| !text.is_empty()),
        };
        let mode =
            mode.map(|text| ModeChange::parse(&text).map_err(|source| FileError::Mode { text, source }));
        Ok(Self {
            include: matcher("include", &action.include_patterns)?,
            exclude: matcher("exclude", &action.exclude_patterns)?,
            owner,
            mode: mode.transpose()?,
            time: timestamp(action.timestamp),
            parent_mode: number.map_or(DEFAULT_DIRECTORY_MODE, |number| number as u32 & 0o777),
            contents_only: action.dir_copy_contents,
            follow: action.follow_symlink,
            replace: action.always_replace_existing_dest_paths,
            link: None,
        })
    }

    fn copy_one(
        &mut self,
        (source, src): (&Tree<'_>, &[u8]),
        (target, dest): (&Tree<'_>, &[u8]),
        link: Link<'_>,
    ) -> Result<()> {
        let made = Made { mode: self.parent_mode, owner: self.owner, time: self.time };
        // A path that ends in a name makes what is above it; one that ends in a slash makes itself.
        let above = match dest.iter().rposition(|byte| *byte == b'/') {
            Some(slash) if !matches!(dest.get(slash + 1..), Some(b"" | b".")) => dest.get(..=slash),
            _ => Some(dest),
        };
        let above = target.real_path(above.unwrap_or_default(), true)?;
        let mut new = made.directory_and_parents(target, &above)?;

        let real = source.real_path(src, self.follow)?;
        let stat = source.stat(&real)?.ok_or_else(|| FileError::io("lstat", &real)(Errno::NOENT))?;
        let (place, needed) = self.place(target, target.real_path(dest, true)?, src, is_directory(&stat))?;
        new.extend(made.directory_and_parents(target, &needed)?);
        self.link = match link {
            // If the directory cannot be had twice, everything is copied.
            Link::Behind { directory, permit, .. } => {
                permit(&real, &place).and_then(|layers| Some((directory.try_clone_to_owned().ok()?, layers)))
            }
            Link::Never => None,
        };
        let begin = match link {
            Link::Behind { begin, .. } => begin,
            Link::Never => &|_| false,
        };
        walk::copy(self, (source, &real, &stat), (target, &place), begin)?;
        made.restore_times(target, &new)
    }

    /// Where the source goes, and which directory must be there before.
    fn place(
        &self,
        target: &Tree<'_>,
        dest: Vec<u8>,
        src: &[u8],
        source_is_directory: bool,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let existing = target.stat(&dest)?;
        let into = match &existing {
            Some(_) if source_is_directory => !self.contents_only,
            Some(stat) => is_directory(stat),
            None => false,
        };
        let place = if into {
            lexical::absolute(&[&dest, b"/".as_slice(), lexical::base(src)].concat())
        } else {
            dest
        };
        let whole = self.contents_only && source_is_directory && existing.is_none();
        let needed = if whole { place.clone() } else { lexical::parent(&place) };
        Ok((place, needed))
    }

    fn mode_of(&self, stat: &Stat) -> u32 {
        let mode = stat.st_mode & 0o7777;
        self.mode.as_ref().map_or(mode, |change| change.apply(mode, is_directory(stat)))
    }

    fn owner_of(&self, stat: &Stat) -> Owner {
        self.owner.unwrap_or(Owner { uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Whether a file comes out as it was, so that a second name of it would do.
    fn changes_nothing(&self, stat: &Stat) -> bool {
        let same_time = self.time.is_none_or(|time| {
            (time.tv_sec, time.tv_nsec)
                == (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default())
        });
        same_time
            && self.mode_of(stat) == stat.st_mode & 0o7777
            && self.owner_of(stat) == (Owner { uid: stat.st_uid, gid: stat.st_gid })
    }
}

fn matcher(list: &'static str, patterns: &[String]) -> Result<Option<PatternMatcher>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let error = |source| FileError::Pattern { list, patterns: patterns.to_vec(), source };
    PatternMatcher::new(patterns).map(Some).map_err(error)
}
