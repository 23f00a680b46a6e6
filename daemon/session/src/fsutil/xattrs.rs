//! Extended attributes of a file that is named by its directory.
//!
//! Nearly no file has any, but each must be asked. Linux 6.13 has a call that takes a directory and a name, as `statx`
//! does (`listxattrat`, number 465 on all that Slipway is built for). Older kernels are asked by the name that `/proc`
//! has for the directory, which takes more than three times as long.
//!
//! They are a courtesy: what cannot be read is not sent.

use std::collections::BTreeMap;
use std::ffi::CStr;

use bytes::Bytes;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;

const LARGEST: usize = 64 << 10;
const LISTXATTRAT: libc::c_long = 465;

/// Reads attributes; knows whether the kernel has the quick call.
pub(super) struct Reader {
    is_quick: bool,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { is_quick: true }
    }

    /// Those of `name` in `directory`, links not followed, less what overlays and access lists keep for themselves.
    pub(super) fn read(&mut self, directory: &OwnedFd, name: &CStr) -> BTreeMap<String, Bytes> {
        let mut list = [0; 4096];
        let length = self.list(directory, name, &mut list);
        let mut found = BTreeMap::new();
        for key in list.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
            let Ok(key) = std::str::from_utf8(key) else { continue };
            if key.is_empty() || key.starts_with("trusted.overlay.") || key.starts_with("system.") {
                continue;
            }
            let mut value = vec![0; LARGEST];
            if let Ok(length) = rustix::fs::lgetxattr(path(directory, name), key, &mut value) {
                value.truncate(length);
                found.insert(key.to_owned(), value.into());
            }
        }
        found
    }

    /// Bytes of `list` that are names.
    fn list(&mut self, directory: &OwnedFd, name: &CStr, list: &mut [u8]) -> usize {
        if self.is_quick {
            match list_at(directory, name, list) {
                Ok(length) => return length,
                Err(Errno::NOSYS | Errno::PERM) => self.is_quick = false,
                Err(_) => return 0,
            }
        }
        rustix::fs::llistxattr(path(directory, name), list).unwrap_or(0)
    }
}

fn path(directory: &OwnedFd, name: &CStr) -> String {
    format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), name.to_string_lossy())
}

fn list_at(directory: &OwnedFd, name: &CStr, list: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `name` ends with a zero byte, and the kernel writes no more than `list.len()` bytes to `list`.
    let length = unsafe {
        libc::syscall(
            LISTXATTRAT,
            directory.as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            list.as_mut_ptr(),
            list.len(),
        )
    };
    usize::try_from(length).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags, XattrFlags};

    use super::*;

    #[test]
    fn both_ways_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        rustix::fs::setxattr(folder.path().join("file"), "user.note", b"text", XattrFlags::empty()).unwrap();
        let directory =
            rustix::fs::open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for is_quick in [true, false] {
            let mut reader = Reader { is_quick };
            let found = reader.read(&directory, c"file");
            assert_eq!(found, BTreeMap::from([("user.note".to_owned(), Bytes::from_static(b"text"))]));
            assert!(reader.read(&directory, c"link").is_empty(), "a link was followed");
            assert!(reader.read(&directory, c"gone").is_empty());
        }
    }
}
