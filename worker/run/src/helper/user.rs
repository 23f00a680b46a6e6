//! Who the step runs as: `USER`'s text, read with the tree's own `/etc/passwd` and `/etc/group`.
//!
//! | text | uid | gid | further groups |
//! |---|---|---|---|
//! | "" | 0 | 0, or that of uid 0's entry | those that list that entry's name |
//! | `uid:gid` | as said | as said | – |
//! | `name` | its entry's | its entry's | those that list the name |
//! | `uid` | as said | its entry's, else 0 | those that list its entry's name |
//! | `user:group` | as above | the group's | – |
//!
//! Digits are always an id, never a name. The primary group is always among the further ones. Ids run to
//! 2^31 - 1: what does not fit is refused, not wrapped around.

use std::os::fd::AsFd;

use super::attempt::{Attempt, Doing, failure};
use super::in_root;
use crate::protocol::Failure;

const MAX_FILE: u64 = 10 << 20;
const MAX_ID: u32 = i32::MAX as u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, the primary one first.
    pub(super) groups: Vec<u32>,
}

/// The user that `text` names in the tree.
pub(super) fn resolve(root: impl AsFd, text: &str) -> Attempt<User> {
    let read = |path| in_root::read(&root, path, MAX_FILE).doing(format!("look up user {text:?}"));
    if let Some(user) = both_numeric(text) {
        return Ok(user);
    }
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    if text.is_empty() && (passwd.is_err() || group.is_err()) {
        return Ok(User::new(0, 0, Vec::new()));
    }
    find(text, &passwd?.unwrap_or_default(), &group?.unwrap_or_default())
}

/// The home directory of a uid, `/` where its entry has none.
pub(super) fn home(root: impl AsFd, uid: u32) -> String {
    let passwd = in_root::read(root, "/etc/passwd", MAX_FILE).ok().flatten().unwrap_or_default();
    let entry = accounts(&passwd).find(|account| account.uid == uid);
    entry.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or_else(|| "/".into())
}

impl User {
    /// A member of these as well.
    pub(super) fn with(mut self, groups: &[u32]) -> Self {
        self.groups.extend(groups);
        self
    }

    fn new(uid: u32, gid: u32, mut groups: Vec<u32>) -> Self {
        if !groups.contains(&gid) {
            groups.insert(0, gid);
        }
        Self { uid, gid, groups }
    }
}

/// `0:0`, `root:root`: nothing to look up.
fn both_numeric(text: &str) -> Option<User> {
    let id = |part: &str| if part == "root" { Some(0) } else { number(part)?.ok() };
    let (user, group) = text.split_once(':')?;
    Some(User::new(id(user)?, id(group)?, Vec::new()))
}

/// An id where the text is all digits (or a negative number); an error where it is out of range.
fn number(text: &str) -> Option<Result<u32, ()>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse::<u32>().ok().filter(|id| *id <= MAX_ID).ok_or(()))
}

fn find(text: &str, passwd: &[u8], group: &[u8]) -> Attempt<User> {
    let (user_text, group_text) = text.split_once(':').unwrap_or((text, ""));
    let out_of_range =
        |id: &str| failure(format!("use {id:?} as an id"), format!("it is not within 0 to {MAX_ID}"));
    let wanted_uid = match number(user_text) {
        Some(id) => Some(id.map_err(|()| out_of_range(user_text))?),
        None if user_text.is_empty() => Some(0),
        None => None,
    };
    let account = accounts(passwd).find(|account| match wanted_uid {
        Some(uid) => account.uid == uid,
        None => account.name == user_text,
    });
    let (uid, mut gid) = match (&account, wanted_uid) {
        (Some(account), _) => (account.uid, account.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => return Err(unknown("user", user_text, "/etc/passwd")),
    };
    let mut further = Vec::new();
    if !group_text.is_empty() {
        gid = match number(group_text) {
            Some(id) => id.map_err(|()| out_of_range(group_text))?,
            None => groups(group)
                .find(|entry| entry.name == group_text)
                .map(|entry| entry.gid)
                .ok_or_else(|| unknown("group", group_text, "/etc/group"))?,
        };
    } else if let Some(account) = account {
        let member = |entry: &Group| entry.members.contains(&account.name);
        further = groups(group).filter(member).map(|entry| entry.gid).collect();
    }
    Ok(User::new(uid, gid, further))
}

fn unknown(what: &str, name: &str, file: &str) -> Failure {
    failure(
        format!("find {what} {name:?}"),
        format!("unable to find {what} {name}: no matching entries in {file}"),
    )
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// `name:password:uid:gid:comment:home:shell`; lines without valid ids are skipped.
fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(':').map(str::to_owned);
        let name = fields.next()?;
        let (uid, gid) = (number(&fields.nth(1)?)?.ok()?, number(&fields.next()?)?.ok()?);
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

/// `name:password:gid:member,member`.
fn groups(group: &[u8]) -> impl Iterator<Item = Group> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let gid = number(fields.nth(1)?)?.ok()?;
        let members = fields.next().unwrap_or_default().split(',').map(str::to_owned).collect();
        Some(Group { name, gid, members })
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = String> {
    let lines = file.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).trim().to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"# note\nroot:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:\nbad:x:y:0::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:app,other\napp:x:1001:\naudio:x:29:app\nzero:x:5:root\n";

    #[track_caller]
    fn check(text: &str, uid: u32, gid: u32, groups: &[u32]) {
        let found = both_numeric(text).map_or_else(|| find(text, PASSWD, GROUP), Ok);
        assert_eq!(found, Ok(User { uid, gid, groups: groups.to_vec() }), "{text:?}");
    }

    #[test]
    fn every_form() {
        check("", 0, 0, &[0, 5]);
        check("root", 0, 0, &[0, 5]);
        check("app", 1000, 1001, &[1001, 10, 29]);
        check("1000", 1000, 1001, &[1001, 10, 29]);
        check("4000", 4000, 0, &[0]);
        check("app:wheel", 1000, 10, &[10]);
        check("4000:4001", 4000, 4001, &[4001]);
        check("root:root", 0, 0, &[0]);
        check(":wheel", 0, 10, &[10]);
        check("app:", 1000, 1001, &[1001, 10, 29]);
        check("app:777", 1000, 777, &[777]);
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_refused() {
        for text in
            ["nobody", "app:nogroup", "2147483648", "-1", "4294967296", "4294967296:0", "app:99999999999"]
        {
            assert!(find(text, PASSWD, GROUP).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_garbled_file_is_not_a_panic() {
        for file in [&b":::::::\n"[..], b"\xff\xfe\n", b"a\n", b"a:b:c\n", b"", b"\n\n::"] {
            let _ = find("app", file, file);
        }
    }
}
