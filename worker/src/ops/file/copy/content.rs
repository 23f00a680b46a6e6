//! Copying the bytes of a file: shared with the source where the file system can, else moved inside
//! the kernel, else read and written. Holes stay holes.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

/// Up to here one read and one write are fewer and cheaper than asking for something clever.
const SMALL: u64 = 128 * 1024;
const BUFFER: usize = 256 * 1024;

/// What the file systems turned out to be able to; asked once, not for each file.
pub(super) struct Abilities {
    share: AtomicBool,
    move_inside: AtomicBool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { share: true.into(), move_inside: true.into() }
    }
}

pub(super) fn copy(
    source: &OwnedFd,
    target: &OwnedFd,
    stat: &Stat,
    abilities: &Abilities,
    buffer: &mut Vec<u8>,
) -> rustix::io::Result<()> {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size == 0 {
        return Ok(());
    }
    buffer.resize(BUFFER, 0);
    let stored = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
    if size <= SMALL && stored >= size {
        return by_hand(source, target, 0, size, buffer);
    }
    if abilities.share.load(Ordering::Relaxed) {
        if rustix::fs::ioctl_ficlone(target, source).is_ok() {
            return Ok(());
        }
        abilities.share.store(false, Ordering::Relaxed);
    }
    if stored >= size {
        return piece(source, target, 0, size, abilities, buffer);
    }
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start?.min(size),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start))?.min(size);
        piece(source, target, start, end, abilities, buffer)?;
        at = end.max(start + 1);
    }
    rustix::fs::ftruncate(target, size)
}

fn piece(
    source: &OwnedFd,
    target: &OwnedFd,
    mut start: u64,
    end: u64,
    abilities: &Abilities,
    buffer: &mut [u8],
) -> rustix::io::Result<()> {
    while start < end && abilities.move_inside.load(Ordering::Relaxed) {
        let (mut from, mut to) = (start, start);
        let length = usize::try_from((end - start).min(1 << 30)).unwrap_or(BUFFER);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            // Shorter than it was: the rest is found out by reading.
            Ok(0) => break,
            Ok(moved) => start += moved as u64,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::XDEV | Errno::PERM | Errno::IO | Errno::OPNOTSUPP | Errno::INVAL) => {
                abilities.move_inside.store(false, Ordering::Relaxed);
            }
            Err(errno) => return Err(errno),
        }
    }
    by_hand(source, target, start, end, buffer)
}

fn by_hand(
    source: &OwnedFd,
    target: &OwnedFd,
    mut at: u64,
    end: u64,
    buffer: &mut [u8],
) -> rustix::io::Result<()> {
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = match rustix::io::pread(source, buffer.get_mut(..wanted).unwrap_or_default(), at) {
            Err(Errno::INTR) => continue,
            count => count?,
        };
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            let rest = buffer.get(written..count).unwrap_or_default();
            match rustix::io::pwrite(target, rest, at + written as u64) {
                Err(Errno::INTR) => {}
                wrote => written += wrote?,
            }
        }
        at += count as u64;
    }
    Ok(())
}
