//! From the table of allowed calls to a rule for every number.
//!
//! | call | rule |
//! |---|---|
//! | in the table | allowed |
//! | `clone` | allowed unless a flag asks for a new namespace |
//! | `clone3` | `ENOSYS`, since its flags are behind a pointer: libraries fall back to `clone` |
//! | `socket` | allowed but for `AF_ALG` and `AF_VSOCK` |
//! | `personality` | allowed for the five harmless values |
//! | any other, up to the newest in the table | `EPERM` |
//! | newer ones, and x32 | `ENOSYS`, so that libraries try the older way, as runc has it |
//!
//! Arguments are compared by their low 32 bits, as the kernel takes them (`int`); for `clone` the namespace
//! flags all lie there. A foreign architecture kills the process.

use super::allowed::{ALLOWED, NO};

/// What to do with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Allow,
    Errno(i32),
    /// Allowed where no bit of the mask is set in the first argument, else `EPERM`.
    AllowWithout(u32),
    /// Allowed where the first argument is in the list, else `EPERM`.
    AllowOnly(&'static [u32]),
    /// Allowed where the first argument is not in the list, else `EPERM`.
    AllowAllBut(&'static [u32]),
}

/// One architecture that this machine's kernel may run, with rules for all numbers: each range begins at its
/// first number and ends before the next.
pub(super) struct Architecture {
    /// `AUDIT_ARCH_…` of `linux/audit.h`.
    pub(super) audit: u32,
    pub(super) ranges: Vec<(u32, Rule)>,
}

pub(super) const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;
pub(super) const AF_ALG: u32 = libc::AF_ALG as u32;
pub(super) const AF_VSOCK: u32 = libc::AF_VSOCK as u32;
/// Linux, 32-bit Linux, both without address randomisation's `ADDR_NO_RANDOMIZE` sibling `UNAME26`, and "ask".
pub(super) const PERSONALITIES: &[u32] = &[0, 0x8, 0x20000, 0x20008, 0xffff_ffff];

/// Calls that are not simply allowed; columns as in [`ALLOWED`].
const CONDITIONAL: &[(Rule, [u32; 4])] = &[
    (Rule::AllowWithout(NAMESPACE_FLAGS), [56, 120, 220, 120]),
    (Rule::Errno(libc::ENOSYS), [435, 435, 435, 435]),
    (Rule::AllowAllBut(&[AF_ALG, AF_VSOCK]), [41, 359, 198, 281]),
    (Rule::AllowOnly(PERSONALITIES), [135, 136, 92, 136]),
];

const AUDIT_64BIT: u32 = 0x8000_0000;
const AUDIT_LITTLE_ENDIAN: u32 = 0x4000_0000;
/// `EM_X86_64`, `EM_386`, `EM_AARCH64`, `EM_ARM` of ELF; columns as in [`ALLOWED`].
const AUDIT: [u32; 4] = [
    62 | AUDIT_64BIT | AUDIT_LITTLE_ENDIAN,
    3 | AUDIT_LITTLE_ENDIAN,
    183 | AUDIT_64BIT | AUDIT_LITTLE_ENDIAN,
    40 | AUDIT_LITTLE_ENDIAN,
];

/// The architectures whose programs this machine runs, its own first.
pub(super) fn architectures() -> Option<[Architecture; 2]> {
    let columns = match std::env::consts::ARCH {
        "x86_64" => [0, 1],
        "aarch64" => [2, 3],
        _ => return None,
    };
    Some(columns.map(|column| Architecture { audit: AUDIT[column], ranges: ranges(column) }))
}

fn ranges(column: usize) -> Vec<(u32, Rule)> {
    let allowed = ALLOWED.iter().map(|(_, numbers)| (numbers[column], Rule::Allow));
    let conditional = CONDITIONAL.iter().map(|(rule, numbers)| (numbers[column], *rule));
    let mut rules: Vec<_> = allowed.chain(conditional).filter(|(number, _)| *number != NO).collect();
    rules.sort_by_key(|(number, _)| *number);
    rules.dedup_by_key(|(number, _)| *number);

    let mut ranges: Vec<(u32, Rule)> = Vec::new();
    let mut begin = |number: u32, rule: Rule| {
        if ranges.last().is_none_or(|(_, last)| *last != rule) {
            ranges.push((number, rule));
        }
    };
    let mut next = 0;
    for (number, rule) in rules {
        if number > next {
            begin(next, Rule::Errno(libc::EPERM));
        }
        begin(number, rule);
        next = number + 1;
    }
    begin(next, Rule::Errno(libc::ENOSYS));
    ranges
}
