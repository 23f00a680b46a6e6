//! One member of an archive, without its data.

use rustix::fs::FileType;

/// Extended attributes, or records: full name and value.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    /// Of an inode; `None` for sockets, which no archive holds.
    pub fn of(file_type: FileType) -> Option<Self> {
        Some(match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            _ => return None,
        })
    }

    /// The type flag of a header.
    pub fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// Seconds since 1970 and nanoseconds of that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A header. Names are bytes: nothing says they are UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, without a leading slash when written; directories end in a slash.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Target of a symlink or name of the member a hard link names.
    pub link: Vec<u8>,
    /// Permissions with set-user-id, set-group-id and sticky; no type bits.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Bytes of content; zero for all but files.
    pub size: u64,
    pub modified: Time,
    pub device_major: u32,
    pub device_minor: u32,
    /// Extended attributes: full name and value.
    pub xattrs: Pairs,
}

impl Entry {
    /// An empty file owned by root, of 1970.
    pub fn new(kind: Kind, name: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            kind,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            modified: Time::default(),
            device_major: 0,
            device_minor: 0,
            xattrs: Vec::new(),
        }
    }

    /// The name for people.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}
