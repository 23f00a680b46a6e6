//! `--ulimit`: resource limits of the process.

use std::io;

use super::attempt::{Attempt, failure};
use crate::Ulimit;

/// The type that the C library gives these numbers: glibc and musl differ.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

const NAMES: &[(&str, Resource)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// Sets them on this process. Raising a hard limit wants `CAP_SYS_RESOURCE`.
pub(super) fn apply(ulimits: &[Ulimit]) -> Attempt<()> {
    for limit in ulimits {
        let name = limit.name.to_ascii_lowercase();
        let step = format!("set ulimit {}={}:{}", limit.name, limit.soft, limit.hard);
        let Some((_, resource)) = NAMES.iter().find(|(known, _)| *known == name) else {
            return Err(failure(step, "there is no such limit"));
        };
        let value = |value: i64| libc::rlim_t::try_from(value).unwrap_or(libc::RLIM_INFINITY);
        let values = libc::rlimit { rlim_cur: value(limit.soft), rlim_max: value(limit.hard) };
        // SAFETY: the structure outlives the call.
        if unsafe { libc::setrlimit(*resource, &values) } != 0 {
            return Err(failure(step, io::Error::last_os_error()));
        }
    }
    Ok(())
}
