//! Extended attributes of a file that may be anything, a symlink or a device too: named through its parent
//! directory's descriptor, never by a path that a build could redirect.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{self, XattrFlags};
use rustix::io::{Errno, Result};

/// What belongs to an overlay mount, not to the file.
fn is_overlay(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// `/proc/self/fd/N/name`: the kernel resolves the directory by descriptor, and `l…xattr` does not follow the name.
fn path(directory: BorrowedFd<'_>, name: &CStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    path
}

/// Copies all attributes but overlayfs' own. One that the target filesystem or our rights do not allow
/// (`trusted.*`, `security.*` in a user namespace) is left out, as `cp -a` does.
pub(super) fn copy(from: BorrowedFd<'_>, from_name: &CStr, to: BorrowedFd<'_>, to_name: &CStr) -> Result<()> {
    let from = path(from, from_name);
    let names = match list(&from) {
        Err(Errno::NOTSUP) => return Ok(()),
        names => names?,
    };
    if names.is_empty() {
        return Ok(());
    }
    let to = path(to, to_name);
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && !is_overlay(name)) {
        let value = match get(&from, name) {
            Err(Errno::NODATA) => continue,
            value => value?,
        };
        match fs::lsetxattr(&*to, name, &value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::NOTSUP) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Whether the directory of an overlay carries the mark by which it hides all that is below it.
pub(super) fn is_opaque(directory: BorrowedFd<'_>) -> Result<bool> {
    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
        let mut value = [0; 16];
        match fs::fgetxattr(directory, name, value.as_mut_slice()) {
            Ok(length) if value[..length] == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn list(path: &[u8]) -> Result<Vec<u8>> {
    grow(|buffer| fs::llistxattr(path, buffer))
}

fn get(path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    grow(|buffer| fs::lgetxattr(path, name, buffer))
}

/// The kernel allows values of 64 KiB; most have a few bytes.
fn grow(mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < (1 << 16) => buffer.resize(buffer.len() * 16, 0),
            Err(error) => return Err(error),
        }
    }
}
