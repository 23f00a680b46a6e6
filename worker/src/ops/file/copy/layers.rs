//! The directories that a source is made of, and which of them holds a file.
//!
//! A name can only be made of a file within one mount, and an overlay is a mount of its own. So next to every
//! directory of the source go the same directories of its layers; the file that the overlay shows is in one of them.
//! Which one is not told by the rules of overlays: it is the one whose file has the same inode number, which overlayfs
//! passes on for files of layers on one filesystem. A file that was copied up may show the number of the one below; then
//! it matches nothing, and is copied.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat};

use super::super::tree::{Tree, kind, stat_at};

/// Directories of so many layers are kept open for each level of the walk.
const MOST: usize = 8;

/// What a copy may link from. See [`super::Link`].
pub struct Layers {
    /// The roots of the layers, the topmost first; or the source itself, if it is no overlay.
    pub roots: Vec<OwnedFd>,
    /// Small files too, even if they are few: where that costs no accounts.
    pub few: bool,
}

/// The directories of the layers that are at the same path as one of the source.
#[derive(Default)]
pub(super) struct Behind(Vec<(usize, Directory)>);

enum Directory {
    /// The source's.
    Same,
    Own(OwnedFd),
}

impl Behind {
    /// At `path` without links.
    pub(super) fn at(source: &Tree<'_>, path: &[u8], layers: &Layers) -> Self {
        let open = |(index, root): (usize, &OwnedFd)| {
            if is_same(source.root, root.as_fd()) {
                return Some((index, Directory::Same));
            }
            let own = Tree { root: root.as_fd() }.open(path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
            Some((index, Directory::Own(own)))
        };
        Self(layers.roots.iter().enumerate().filter_map(open).take(MOST).collect())
    }

    pub(super) fn below(&self, name: &[u8]) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |(index, directory): &(usize, Directory)| match directory {
            Directory::Same => Some((*index, Directory::Same)),
            Directory::Own(above) => {
                let own = rustix::fs::openat(above, name, flags, Mode::empty()).ok()?;
                Some((*index, Directory::Own(own)))
            }
        };
        Self(self.0.iter().filter_map(open).collect())
    }

    /// Which layer holds the file `name` of `source`, and the directory there.
    pub(super) fn holder<'a>(
        &'a self,
        source: &'a OwnedFd,
        name: &[u8],
        stat: &Stat,
    ) -> Option<(usize, BorrowedFd<'a>)> {
        self.0.iter().find_map(|(index, directory)| match directory {
            Directory::Same => Some((*index, source.as_fd())),
            Directory::Own(own) => {
                let there = stat_at(own, name).ok()??;
                is_file(&there, stat).then(|| (*index, own.as_fd()))
            }
        })
    }
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let stat = |fd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((stat(one), stat(other)), (Ok(one), Ok(other)) if one == other)
}

fn is_file(there: &Stat, shown: &Stat) -> bool {
    there.st_ino == shown.st_ino
        && kind(there) == kind(shown)
        && there.st_size == shown.st_size
        && (there.st_mtime, there.st_mtime_nsec) == (shown.st_mtime, shown.st_mtime_nsec)
}
