//! Which capabilities a step gets.
//!
//! A sandboxed step gets Docker's default set, an insecure one all; both only as far as this process may
//! give them: the daemon itself may run in a container that lacks some.

use std::io;

/// `CAP_…` of `linux/capability.h`, by number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Docker's default: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service,
/// net_raw, sys_chroot, mknod, audit_write, setfcap.
pub(crate) const SANDBOX: u64 = 0xa804_25fb;

/// The numbers in a set.
pub(crate) fn numbers(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |number| set & (1 << number) != 0)
}

/// The names in a set, as an OCI runtime wants them; numbers without a name are left out.
pub(crate) fn names(set: u64) -> Vec<&'static str> {
    numbers(set).filter_map(|number| NAMES.get(number as usize).copied()).collect()
}

/// What this process may hand on: its bounding set, as far as its permitted one goes.
pub(crate) fn available() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let set = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
    };
    match (set("CapBnd"), set("CapPrm")) {
        (Some(bounding), Some(permitted)) => Ok(bounding & permitted),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status shows no capabilities")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_default_set_by_name() {
        let expected = [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_NET_RAW",
            "CAP_SYS_CHROOT",
            "CAP_MKNOD",
            "CAP_AUDIT_WRITE",
            "CAP_SETFCAP",
        ];
        assert_eq!(names(SANDBOX), expected);
    }
}
