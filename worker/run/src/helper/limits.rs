//! `--ulimit`: resource limits of the process.

use std::io;

use super::attempt::{Attempt, failure};
use crate::Ulimit;

const NAMES: &[(&str, u32)] = &[
    ("as", libc::RLIMIT_AS as u32),
    ("core", libc::RLIMIT_CORE as u32),
    ("cpu", libc::RLIMIT_CPU as u32),
    ("data", libc::RLIMIT_DATA as u32),
    ("fsize", libc::RLIMIT_FSIZE as u32),
    ("locks", libc::RLIMIT_LOCKS as u32),
    ("memlock", libc::RLIMIT_MEMLOCK as u32),
    ("msgqueue", libc::RLIMIT_MSGQUEUE as u32),
    ("nice", libc::RLIMIT_NICE as u32),
    ("nofile", libc::RLIMIT_NOFILE as u32),
    ("nproc", libc::RLIMIT_NPROC as u32),
    ("rss", libc::RLIMIT_RSS as u32),
    ("rtprio", libc::RLIMIT_RTPRIO as u32),
    ("rttime", libc::RLIMIT_RTTIME as u32),
    ("sigpending", libc::RLIMIT_SIGPENDING as u32),
    ("stack", libc::RLIMIT_STACK as u32),
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
        if unsafe { libc::setrlimit(*resource as _, &values) } != 0 {
            return Err(failure(step, io::Error::last_os_error()));
        }
    }
    Ok(())
}
