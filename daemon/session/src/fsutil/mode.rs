//! Go's file mode bits, which travel in `Stat.mode`, and the kernel's.

use rustix::fs::FileType;

const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const NAMED_PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHARACTER_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;
const TYPE: u32 = DIRECTORY | SYMLINK | DEVICE | NAMED_PIPE | SOCKET | CHARACTER_DEVICE | IRREGULAR;

const UNIX_SETUID: u32 = 0o4000;
const UNIX_SETGID: u32 = 0o2000;
const UNIX_STICKY: u32 = 0o1000;

/// From `st_mode` to Go's bits.
pub fn from_unix(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => 0,
        FileType::Directory => DIRECTORY,
        FileType::Symlink => SYMLINK,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => DEVICE | CHARACTER_DEVICE,
        FileType::Fifo => NAMED_PIPE,
        FileType::Socket => SOCKET,
        _ => IRREGULAR,
    };
    let bit = |unix: u32, go: u32| if mode & unix == 0 { 0 } else { go };
    let special = bit(UNIX_SETUID, SETUID) | bit(UNIX_SETGID, SETGID) | bit(UNIX_STICKY, STICKY);
    kind | special | (mode & 0o777)
}

/// The permission bits of `st_mode`, with setuid, setgid and sticky.
pub fn permissions(mode: u32) -> u32 {
    let bit = |go: u32, unix: u32| if mode & go == 0 { 0 } else { unix };
    bit(SETUID, UNIX_SETUID) | bit(SETGID, UNIX_SETGID) | bit(STICKY, UNIX_STICKY) | (mode & 0o777)
}

/// What kind of file Go's bits describe.
pub fn file_type(mode: u32) -> FileType {
    match mode & TYPE {
        0 => FileType::RegularFile,
        DIRECTORY => FileType::Directory,
        SYMLINK => FileType::Symlink,
        NAMED_PIPE => FileType::Fifo,
        SOCKET => FileType::Socket,
        DEVICE => FileType::BlockDevice,
        kind if kind == DEVICE | CHARACTER_DEVICE => FileType::CharacterDevice,
        _ => FileType::Unknown,
    }
}

pub fn is_directory(mode: u32) -> bool {
    mode & DIRECTORY != 0
}

/// Only these are asked for with REQ. Sender and receiver must agree.
pub fn has_data(mode: u32) -> bool {
    mode & TYPE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_survive_both_ways() {
        for mode in [0o100644, 0o040755, 0o120777, 0o104755, 0o041777, 0o020600, 0o060600, 0o010644] {
            let go = from_unix(mode);
            assert_eq!(permissions(go), mode & 0o7777, "{mode:o}");
            assert_eq!(file_type(go), FileType::from_raw_mode(mode), "{mode:o}");
        }
    }
}
