//! Walking the source, making directories on the way.
//!
//! A directory that the patterns match is made at once; one they do not match is made when something
//! below it is copied. Directories get their own attributes last, when everything in them is done.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Stat};
use slipway_model::lexical;
use slipway_model::pattern::{ParentMatch, PatternMatcher};

use super::super::error::DEEPEST;
use super::super::tree::{Tree, directory_at, is_directory, kind, names, stat_at};
use super::crew::{Crew, Task};
use super::folder::{Folder, Found, release};
use super::layers::Behind;
use super::leaf::{self, Linked};
use super::{FileError, Plan, Result};

/// Below this size a file is linked only if there are many.
const LARGE: i64 = 1 << 20;
/// Files that are copied before there are many.
const FEW: usize = 32;

/// Copies what is at a path without links, known by its `stat`, to `place`; the directory above
/// `place` exists. `begin` is asked before the first file of a layer is linked.
pub(super) fn copy(
    plan: &Plan,
    (source, real, stat): (&Tree<'_>, &[u8], &Stat),
    (target, place): (&Tree<'_>, &[u8]),
    begin: &dyn Fn(usize) -> bool,
) -> Result<()> {
    let behind = |path: &[u8]| match &plan.link {
        Some((_, layers)) => Behind::at(source, path, layers),
        None => Behind::default(),
    };
    Crew::with(plan, |crew| {
        let mut walk = Walk {
            plan,
            target,
            crew,
            levels: Vec::new(),
            hard_links: HashMap::new(),
            top: None,
            files: 0,
            begin,
            begun: BTreeMap::new(),
        };
        let name = if place == b"/" {
            b"".as_slice()
        } else {
            let above = lexical::parent(place);
            let anchor = target.directory(&above).map_err(FileError::io("open", &above))?;
            walk.levels.push(Level::anchor(anchor, above));
            lexical::base(place)
        };
        if is_directory(stat) {
            let directory = source.directory(real).map_err(FileError::io("open", real))?;
            walk.directory((directory, stat), behind(real), name, b"", true, &Matches::default())?;
        } else {
            let (parent, source_name) = source.parent_of(real).map_err(FileError::io("open", real))?;
            walk.leaf(&Arc::new(parent), &behind(&lexical::parent(real)), source_name, name, stat)?;
        }
        walk.close()
    })
}

struct Walk<'a, 'scope, 'env> {
    plan: &'a Plan,
    target: &'a Tree<'a>,
    crew: &'a mut Crew<'scope, 'env>,
    levels: Vec<Level>,
    /// Where the first name of a file with several went.
    hard_links: HashMap<(u64, u64), Vec<u8>>,
    /// The directory copied into: if it lies inside the source, it is not copied itself.
    top: Option<(u64, u64)>,
    /// Regular files so far.
    files: usize,
    begin: &'a dyn Fn(usize) -> bool,
    /// What it said of each layer.
    begun: BTreeMap<usize, bool>,
}

/// A source directory being walked and its counterpart, if that was made already.
struct Level {
    source: Option<(Arc<OwnedFd>, Stat)>,
    name: Vec<u8>,
    path: Vec<u8>,
    folder: Option<Arc<Folder>>,
}

impl Level {
    fn anchor(target: OwnedFd, path: Vec<u8>) -> Self {
        Self {
            source: None,
            name: Vec::new(),
            folder: Some(Arc::new(Folder::anchor(target, path.clone()))),
            path,
        }
    }
}

/// What the lists of patterns remember of a directory.
#[derive(Default)]
struct Matches {
    include: ParentMatch,
    exclude: ParentMatch,
}

impl Walk<'_, '_, '_> {
    fn directory(
        &mut self,
        (directory, stat): (OwnedFd, &Stat),
        behind: Behind,
        name: &[u8],
        relative: &[u8],
        included: bool,
        matches: &Matches,
    ) -> Result<()> {
        if self.levels.len() > DEEPEST {
            return Err(FileError::TooDeep(String::from_utf8_lossy(relative).into_owned()));
        }
        let path = self.levels.last().map_or_else(|| b"/".to_vec(), |level| join(&level.path, name));
        let source = Arc::new(directory);
        let level = Level { source: Some((source.clone(), *stat)), name: name.to_vec(), path, folder: None };
        self.levels.push(level);
        if included {
            let folder = self.folder(self.levels.len() - 1, Some(relative.is_empty()))?;
            if relative.is_empty() {
                self.top = folder.identity();
            }
            release(self.plan, folder)?;
        }
        for child in names(&source).map_err(FileError::io("open", relative))? {
            self.entry(&source, &behind, &child, relative, matches)?;
        }
        match self.levels.pop().and_then(|level| level.folder) {
            Some(folder) => release(self.plan, folder),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        source: &Arc<OwnedFd>,
        behind: &Behind,
        name: &[u8],
        relative: &[u8],
        above: &Matches,
    ) -> Result<()> {
        let path = if relative.is_empty() { name.to_vec() } else { join(relative, name) };
        let (in_list, include) = ask(self.plan.include.as_ref(), "include", &path, &above.include, true)?;
        let (excluded, exclude) = ask(self.plan.exclude.as_ref(), "exclude", &path, &above.exclude, false)?;
        let may_return = self.plan.exclude.as_ref().is_some_and(PatternMatcher::has_exclusions);
        if excluded && !may_return {
            return Ok(());
        }
        let included = in_list && !excluded;
        let Some(stat) = stat_at(source, name).map_err(FileError::io("failed to stat", &path))? else {
            return Err(FileError::io("failed to stat", &path)(rustix::io::Errno::NOENT));
        };
        if is_directory(&stat) {
            if self.top == Some((stat.st_dev, stat.st_ino)) {
                return Ok(());
            }
            let directory = directory_at(source, name).map_err(FileError::io("failed to read", &path))?;
            let behind = behind.below(name);
            self.directory((directory, &stat), behind, name, &path, included, &Matches { include, exclude })
        } else if included {
            self.leaf(source, behind, name, name, &stat)
        } else {
            Ok(())
        }
    }

    /// The target directory of a level, made now if it was not. `asked` is set for a directory that
    /// is copied itself, and true for the topmost; else it is only passed through.
    fn folder(&mut self, index: usize, asked: Option<bool>) -> Result<Arc<Folder>> {
        if let Some(folder) = self.levels.get(index).and_then(|level| level.folder.clone()) {
            return Ok(folder);
        }
        let parent = match index.checked_sub(1) {
            Some(above) => Some(self.folder(above, None)?),
            None => None,
        };
        let Some(level) = self.levels.get_mut(index) else {
            return Err(FileError::EmptyPath);
        };
        let found = match asked {
            Some(true) => Found::Top,
            Some(false) => Found::Inside,
            None => Found::PassedThrough,
        };
        let folder = match parent {
            Some(parent) => {
                Folder::make(self.plan, parent, &level.name, &level.path, level.source.clone(), found)?
            }
            None => Folder::root(self.target, level.source.clone())?,
        };
        let folder = Arc::new(folder);
        level.folder = Some(folder.clone());
        Ok(folder)
    }

    fn leaf(
        &mut self,
        source: &Arc<OwnedFd>,
        behind: &Behind,
        source_name: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<()> {
        let folder = self.folder(self.levels.len().saturating_sub(1), None)?;
        let task = Task {
            source: source.clone(),
            source_name: source_name.to_vec(),
            folder,
            name: name.to_vec(),
            stat: *stat,
            created: None,
        };
        if kind(stat) == FileType::RegularFile {
            return self.file(task, behind);
        }
        leaf::special(self.plan, &task)?;
        release(self.plan, task.folder)
    }

    fn file(&mut self, mut task: Task, behind: &Behind) -> Result<()> {
        self.files += 1;
        if self.crew.may_link()
            && self.is_worth_a_link(&task.stat)
            && self.plan.changes_nothing(&task.stat)
            && let Some((layer, holder)) = behind.holder(&task.source, &task.source_name, &task.stat)
            && *self.begun.entry(layer).or_insert_with(|| (self.begin)(layer))
        {
            match leaf::link_to_source(self.plan, &task, holder)? {
                Linked::Done => return release(self.plan, task.folder),
                Linked::NotThis => {}
                Linked::Never => self.crew.stop_linking(),
            }
        }
        if task.stat.st_nlink > 1 {
            let path = join(task.folder.path(), &task.name);
            let key = (task.stat.st_dev, task.stat.st_ino);
            if let Some(first) = self.hard_links.get(&key) {
                self.link(first, &task)?;
                return release(self.plan, task.folder);
            }
            // Later names need it to exist; its content may still be on the way.
            task.created = Some(leaf::create(self.plan, &task)?);
            self.hard_links.insert(key, path);
        }
        self.crew.submit(task)
    }

    fn is_worth_a_link(&self, stat: &Stat) -> bool {
        let few = self.plan.link.as_ref().is_some_and(|(_, layers)| layers.few);
        few || self.files > FEW || stat.st_size >= LARGE
    }

    fn link(&self, first: &[u8], task: &Task) -> Result<()> {
        let error = |errno| FileError::io("failed to create hard link", first)(errno);
        let (parent, name) = self.target.parent_of(first).map_err(error)?;
        leaf::replacing(self.plan, task, || {
            rustix::fs::linkat(&parent, name, task.folder.target(), task.name.as_slice(), AtFlags::empty())
        })
    }

    fn close(&mut self) -> Result<()> {
        while let Some(level) = self.levels.pop() {
            level.folder.map_or(Ok(()), |folder| release(self.plan, folder))?;
        }
        Ok(())
    }
}

fn ask(
    list: Option<&PatternMatcher>,
    name: &'static str,
    path: &[u8],
    above: &ParentMatch,
    without_list: bool,
) -> Result<(bool, ParentMatch)> {
    let Some(matcher) = list else { return Ok((without_list, ParentMatch::default())) };
    matcher.matches_below(path, above).map_err(|source| FileError::Pattern {
        list: name,
        patterns: vec![String::from_utf8_lossy(path).into_owned()],
        source,
    })
}

pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if path == b"/" { b"" } else { b"/" };
    [path, slash, name].concat()
}
