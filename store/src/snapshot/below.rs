//! What a directory of an overlay covers, walked along with it, so that "opaque" can be told name by name.
//!
//! A new directory in a merged one is opaque too, as a shortcut of the kernel's; nothing is below it, then.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode};
use rustix::io::{Errno, Result};

use super::copy::DIRECTORY;
use super::xattr;

/// The same directory below a directory that changes it.
pub(super) struct Below {
    /// `None` if there is none, or nobody asks.
    pub(super) directory: Option<OwnedFd>,
    /// The directory above, or one that it is in, is opaque.
    pub(super) is_hidden: bool,
}

impl Below {
    /// What is below `name`, a directory here that is open as `above`.
    pub(super) fn of(&self, name: &CStr, above: BorrowedFd<'_>) -> Result<Self> {
        let Some(directory) = &self.directory else { return Ok(Self { directory: None, is_hidden: false }) };
        let directory = match fs::openat(directory, name, DIRECTORY, Mode::empty()) {
            Ok(directory) => Some(directory),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(error) => return Err(error),
        };
        let is_hidden = directory.is_some() && (self.is_hidden || xattr::is_opaque(above)?);
        Ok(Self { directory, is_hidden })
    }

    /// Makes a whiteout in `target` for every name that is hidden and not in `above`.
    pub(super) fn white_out(&self, above: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| self.is_hidden) else { return Ok(()) };
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            match fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    fs::mknodat(target.as_fd(), name, FileType::CharacterDevice, Mode::empty(), 0)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
