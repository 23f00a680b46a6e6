//! The unified layout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{count, make, number, set};
use crate::{OutOfMemory, Resources};

pub(super) fn create(root: &Path, below: &Path, resources: &Resources) -> io::Result<PathBuf> {
    let path = make(root, below)?;
    delegate(root, below);
    if let Err(error) = limit(&path, resources) {
        // Nothing is in it yet; the caller never hears of it.
        let _ = fs::remove_dir(&path);
        return Err(error);
    }
    Ok(path)
}

/// `oom` of the group's own events counts how often its own limit was reached.
pub(super) fn out_of_memory(group: &Path) -> Option<OutOfMemory> {
    if count(&group.join("memory.events"), "oom_kill") == 0 {
        return None;
    }
    let own = count(&group.join("memory.events.local"), "oom") > 0;
    let limit = number(&group.join("memory.max")).filter(|_| own);
    Some(limit.map_or(OutOfMemory::Above, |limit| OutOfMemory::Step { limit }))
}

/// Hands the controllers down, as far as each level has them and is free to. What is missing in the end shows
/// when a limit is set.
fn delegate(root: &Path, below: &Path) {
    let mut group = root.to_owned();
    for component in below.components() {
        let available = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
        let enabled = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
        for controller in available.split_whitespace() {
            let wanted = ["cpu", "cpuset", "io", "memory", "pids"].contains(&controller);
            if wanted && !enabled.split_whitespace().any(|name| name == controller) {
                let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        group.push(component);
    }
}

fn limit(group: &Path, resources: &Resources) -> io::Result<()> {
    let Resources { memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems } =
        resources;
    if *memory != 0 {
        set(group, "memory.max", &maximum(*memory))?;
    }
    if *memory_swap != 0 {
        // The wire counts memory and swap together, this layout swap alone.
        let swap = if *memory_swap < 0 { -1 } else { (memory_swap - memory).max(0) };
        set(group, "memory.swap.max", &maximum(swap))?;
    }
    if *cpu_shares != 0 {
        set(group, "cpu.weight", &weight(*cpu_shares).to_string())?;
    }
    if *cpu_quota != 0 || *cpu_period != 0 {
        let quota = if *cpu_quota > 0 { cpu_quota.to_string() } else { "max".into() };
        let period = if *cpu_period > 0 { *cpu_period } else { DEFAULT_PERIOD };
        set(group, "cpu.max", &format!("{quota} {period}"))?;
    }
    for (file, value) in [("cpuset.cpus", cpuset_cpus), ("cpuset.mems", cpuset_mems)] {
        if !value.is_empty() {
            set(group, file, value)?;
        }
    }
    Ok(())
}

/// Microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

fn maximum(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// Shares of 2 to 262144 onto weights of 1 to 10000, as OCI runtimes convert them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144].map(super::weight), [1, 39, 10_000]);
    }
}
