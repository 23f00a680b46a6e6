//! Giving up what the step must not have: system calls, capabilities, root.
//!
//! `no_new_privs` stays off, as in BuildKit: `sudo` and other set-user-id programs work in a build. A filter
//! therefore needs `CAP_SYS_ADMIN` to be loaded, so it comes first, and lets through what comes after it.
//!
//! | | bounding | permitted, effective | inheritable, ambient |
//! |---|---|---|---|
//! | sandbox | Docker's set | the same; the kernel empties it for other users than root | none |
//! | insecure | all | all | all, so that other users keep them |

use std::io;

use super::attempt::{Attempt, Doing};
use super::user::User;
use crate::{Security, capability};

pub(super) fn reduce(security: Security, available: u64, filter: &[u8], user: &User) -> Attempt<()> {
    let (wanted, inherited) = match security {
        Security::Sandbox => (available & capability::SANDBOX, 0),
        Security::Insecure => (available, available),
    };
    if !filter.is_empty() {
        load_filter(filter).doing("load the system call filter")?;
    }
    drop_bounding(wanted).doing("limit the capabilities")?;
    control(libc::PR_SET_KEEPCAPS, 1, 0).doing("keep the capabilities")?;
    become_user(user).doing(format!("become user {}:{}", user.uid, user.gid))?;
    control(libc::PR_SET_KEEPCAPS, 0, 0).doing("keep the capabilities")?;
    set_capabilities(wanted, inherited).doing("set the capabilities")
}

fn load_filter(filter: &[u8]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> = filter
        .chunks_exact(size_of::<libc::sock_filter>())
        .filter_map(|bytes| {
            let (code, rest) = bytes.split_first_chunk::<2>()?;
            let (jumps, value) = rest.split_first_chunk::<2>()?;
            let k = u32::from_ne_bytes(value.try_into().ok()?);
            Some(libc::sock_filter { code: u16::from_ne_bytes(*code), jt: jumps[0], jf: jumps[1], k })
        })
        .collect();
    let len = u16::try_from(instructions.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // SAFETY: the program and its instructions outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Drops from the bounding set whatever the kernel knows and the step does not get.
fn drop_bounding(wanted: u64) -> io::Result<()> {
    for number in capability::numbers(!wanted) {
        match control(libc::PR_CAPBSET_DROP, number.into(), 0) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

fn become_user(user: &User) -> io::Result<()> {
    // The plain calls, not the C library's: this process has one thread.
    // SAFETY: the list outlives the call.
    unsafe {
        checked(libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()))?;
        checked(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid))?;
        checked(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid))
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words per set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn set_capabilities(wanted: u64, inherited: u64) -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let word = |set: u64, index: u32| (set >> (32 * index)) as u32;
    let sets = [0, 1].map(|index| CapabilitySets {
        effective: word(wanted, index),
        permitted: word(wanted, index),
        inheritable: word(inherited, index),
    });
    // SAFETY: the header and both words of the sets outlive the call.
    unsafe { checked(libc::syscall(libc::SYS_capset, &header, sets.as_ptr()))? };
    control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    for number in capability::numbers(inherited) {
        control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, number.into())?;
    }
    Ok(())
}

fn control(option: i32, first: u64, second: u64) -> io::Result<()> {
    // SAFETY: the options used here take numbers only.
    checked(unsafe { libc::prctl(option, first, second, 0, 0) }.into())
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
