//! What is still mounted or running below a folder, in whichever mount namespace.
//!
//! A step's mounts are in the namespace of its process, so both are found in `/proc/*/mountinfo`: an overlay
//! names its directories there, a bind mount its root. A process that mounts nothing is found by its command.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::process::eventually;

/// How long what was ended may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fails if anything of `folder` is left, apart from the processes named.
#[track_caller]
pub fn assert_none(folder: &Path, except: &[u32]) {
    if let Err(left) = none(folder, except) {
        panic!("left behind in {}:\n{left}", folder.display());
    }
}

/// Waits a moment for everything to be gone; an `Err` lists what is not.
pub fn none(folder: &Path, except: &[u32]) -> Result<(), String> {
    let mut left = Vec::new();
    let gone = eventually(PATIENCE, || {
        left = find(folder, except);
        left.is_empty()
    });
    if gone { Ok(()) } else { Err(left.join("\n")) }
}

/// One line for each mount and each process.
pub fn find(folder: &Path, except: &[u32]) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let mut namespaces = HashSet::new();
    let mut found = Vec::new();
    for pid in processes() {
        let text = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let command = String::from_utf8_lossy(&text("cmdline")).replace('\0', " ");
        if command.contains(&*folder) && !except.contains(&pid) && pid != std::process::id() {
            found.push(format!("process {pid}: {command}"));
        }
        let namespace = fs::read_link(format!("/proc/{pid}/ns/mnt"));
        if namespace.is_ok_and(|namespace| namespaces.insert(namespace)) {
            let mounts = text("mountinfo");
            let mounts = String::from_utf8_lossy(&mounts);
            let ours = mounts.lines().filter(|line| line.contains(&*folder));
            found.extend(ours.map(|line| format!("mount seen by process {pid} ({command}): {line}")));
        }
    }
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
