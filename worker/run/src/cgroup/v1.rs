//! The older layout: a hierarchy per controller, of which only those are touched that a limit needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{count, make, number, set};
use crate::{OutOfMemory, Resources};

/// All that there are, besides names of `cpu` and `net_cls` for two at once. Limits need the first three; an OCI runtime
/// makes a group in each, of which `devices` says what its processes may open.
pub(super) const CONTROLLERS: [&str; 14] = [
    "memory",
    "cpu",
    "cpuset",
    "devices",
    "cpuacct",
    "pids",
    "freezer",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
];

pub(super) fn create(
    root: &Path,
    below: &Path,
    resources: &Resources,
    has_parent: bool,
    groups: &mut Vec<(&'static str, PathBuf)>,
) -> io::Result<()> {
    let Resources { memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems } =
        resources;
    let mut group = |controller: &'static str| -> io::Result<PathBuf> {
        let hierarchy = root.join(controller);
        if !hierarchy.is_dir() {
            return Err(io::Error::other(format!("the {controller} controller is not available")));
        }
        let path = make(&hierarchy, below)?;
        groups.push((controller, path.clone()));
        Ok(path)
    };
    if *memory != 0 || *memory_swap != 0 {
        let path = group("memory")?;
        if *memory != 0 {
            set(&path, "memory.limit_in_bytes", &memory.to_string())?;
        }
        if *memory_swap != 0 {
            set(&path, "memory.memsw.limit_in_bytes", &memory_swap.to_string())?;
        }
    } else if has_parent && root.join("memory").is_dir() {
        group("memory")?;
    }
    if *cpu_shares != 0 || *cpu_period != 0 || *cpu_quota != 0 {
        let path = group("cpu")?;
        let settings = [
            ("cpu.shares", *cpu_shares != 0, cpu_shares.to_string()),
            ("cpu.cfs_period_us", *cpu_period != 0, cpu_period.to_string()),
            ("cpu.cfs_quota_us", *cpu_quota != 0, cpu_quota.to_string()),
        ];
        for (file, _, value) in settings.iter().filter(|(_, wanted, _)| *wanted) {
            set(&path, file, value)?;
        }
    }
    if !cpuset_cpus.is_empty() || !cpuset_mems.is_empty() {
        let path = group("cpuset")?;
        for (file, value) in [("cpuset.cpus", cpuset_cpus), ("cpuset.mems", cpuset_mems)] {
            inherit(&root.join("cpuset"), below, file)?;
            if !value.is_empty() {
                set(&path, file, value)?;
            }
        }
    }
    Ok(())
}

/// A limit was reached where allocations have failed; one that nobody has set is larger than any machine.
pub(super) fn out_of_memory(group: &Path) -> Option<OutOfMemory> {
    if count(&group.join("memory.oom_control"), "oom_kill") == 0 {
        return None;
    }
    let own = number(&group.join("memory.failcnt")).is_some_and(|failures| failures > 0);
    let limit = number(&group.join("memory.limit_in_bytes")).filter(|limit| own && *limit < UNLIMITED);
    Some(limit.map_or(OutOfMemory::Above, |limit| OutOfMemory::Step { limit }))
}

/// The kernel says the largest number of pages there is.
const UNLIMITED: u64 = 1 << 62;

/// A new cpuset is empty, and an empty one takes no process: it gets its parent's value, from the top down.
fn inherit(hierarchy: &Path, below: &Path, file: &str) -> io::Result<()> {
    let mut group = hierarchy.to_owned();
    let mut inherited = fs::read_to_string(group.join(file))?;
    for component in below.components() {
        group.push(component);
        let own = fs::read_to_string(group.join(file))?;
        if own.trim().is_empty() {
            set(&group, file, inherited.trim())?;
        } else {
            inherited = own;
        }
    }
    Ok(())
}
