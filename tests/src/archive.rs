//! A tar, read back by the system's own `tar`.

use std::collections::BTreeMap;
use std::process::Command;

use crate::process::Running;

/// Names and what `tar -tv` says of each: mode, owner, size, time.
pub fn list(archive: &[u8]) -> BTreeMap<String, String> {
    let mut tar = Command::new("tar");
    tar.args(["-tv", "--numeric-owner", "--full-time", "-f", "-"]);
    let listed = Running::start(tar, Some(archive.to_vec())).wait().succeeded().stdout();
    let entry = |line: &str| {
        // Mode, owner, size, date, time, name.
        let mut rest = line;
        for _ in 0..5 {
            rest = rest.trim_start().split_once(' ').map_or("", |(_, rest)| rest);
        }
        let name = rest.trim_start();
        let about = line.strip_suffix(name).unwrap_or(line).trim().to_owned();
        (name.trim_start_matches("./").trim_end_matches('/').to_owned(), about)
    };
    listed.lines().map(entry).collect()
}

/// The content of one file.
pub fn file(archive: &[u8], name: &str) -> String {
    let mut tar = Command::new("tar");
    tar.args(["-xO", "-f", "-", name]);
    Running::start(tar, Some(archive.to_vec())).wait().succeeded().stdout()
}

/// A tar of `files`, made by the system's own `tar` from `folder`.
pub fn of_folder(folder: &std::path::Path) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).args(["-cf", "-", "."]);
    Running::start(tar, None).wait().succeeded().stdout
}
