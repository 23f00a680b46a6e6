//! Who owns what an action makes: by number, or by name in the files of a tree.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use slipway_model::llb::pb::{self, user_opt::User};

use super::tree::{Tree, kind};
use super::{FileError, Result};

/// More than any system has; these files are read into memory.
const LARGEST: u64 = 10 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The owner an action asks for; `None` if it asks for none. The trees are the inputs that
/// [`pb::NamedUserOpt`] names. A name that is not there is root, as is a missing file.
pub fn owner(
    wanted: Option<&pb::ChownOpt>,
    user_tree: Option<BorrowedFd<'_>>,
    group_tree: Option<BorrowedFd<'_>>,
) -> Result<Option<Owner>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let mut owner = Owner { uid: 0, gid: 0 };
    match wanted.user.as_ref().and_then(|user| user.user.as_ref()) {
        Some(User::ById(id)) => owner = Owner { uid: *id, gid: *id },
        Some(User::ByName(named)) => {
            let tree = user_tree.ok_or(FileError::MissingOwnerTree("user"))?;
            let fields = find(tree, "/etc/passwd", &named.name, false)?;
            if let Some([uid, gid]) = fields {
                owner = Owner { uid, gid };
            }
        }
        None => {}
    }
    match wanted.group.as_ref().and_then(|group| group.user.as_ref()) {
        Some(User::ById(id)) => owner.gid = *id,
        Some(User::ByName(named)) => {
            let tree = group_tree.ok_or(FileError::MissingOwnerTree("group"))?;
            if let Some([gid, _]) = find(tree, "/etc/group", &named.name, true)? {
                owner.gid = gid;
            }
        }
        None => {}
    }
    Ok(Some(owner))
}

/// The third and fourth field of the first line of that name; what is no number counts as 0.
fn find(tree: BorrowedFd<'_>, path: &str, name: &str, comments: bool) -> Result<Option<[u32; 2]>> {
    let Some(text) = read(tree, path)? else { return Ok(None) };
    let line = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !(line.is_empty() || comments && line.starts_with(b"#")))
        .find(|line| line.split(|byte| *byte == b':').next() == Some(name.as_bytes()));
    let number = |field: Option<&[u8]>| {
        field.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Ok(line.map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        [number(fields.next()), number(fields.next())]
    }))
}

fn read(tree: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let tree = Tree { root: tree };
    let real = tree.real_path(path.as_bytes(), true)?;
    let stat = match tree.open(&real, OFlags::PATH).and_then(rustix::fs::fstat) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(FileError::io("open", &real)(errno)),
    };
    if kind(&stat) != rustix::fs::FileType::RegularFile {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    let file = tree
        .open(&real, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        .map_err(FileError::io("open", &real))?;
    let mut text = Vec::new();
    std::fs::File::from(file).take(LARGEST + 1).read_to_end(&mut text).map_err(|source| FileError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })?;
    if text.len() as u64 > LARGEST {
        return Err(FileError::TooLarge { path: path.to_owned(), limit: LARGEST });
    }
    Ok(Some(text))
}
