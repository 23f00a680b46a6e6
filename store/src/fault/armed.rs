//! What `SLIPWAY_FAULT` asks for, and counting.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::Point;

static PLAN: OnceLock<Plan> = OnceLock::new();

#[derive(Default)]
struct Plan {
    faults: Vec<Fault>,
    trace: Option<File>,
    passed: AtomicU64,
}

struct Fault {
    action: Action,
    /// Only this point counts.
    point: Option<&'static str>,
    number: u64,
    /// Also all that come after.
    lasting: bool,
    passed: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Torn,
    Fail(Errno),
}

/// What a write is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// Half of it, and then [`die`].
    Tear,
    Fail(Errno),
}

pub(super) fn is_armed() -> bool {
    let plan = plan();
    !plan.faults.is_empty() || plan.trace.is_some()
}

pub(super) fn pass(point: Point) -> Result<(), Errno> {
    match judge(point) {
        Verdict::Go => Ok(()),
        Verdict::Tear => die(),
        Verdict::Fail(error) => Err(error),
    }
}

pub(super) fn judge(point: Point) -> Verdict {
    let plan = plan();
    if plan.faults.is_empty() && plan.trace.is_none() {
        return Verdict::Go;
    }
    let number = plan.passed.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(mut trace) = plan.trace.as_ref() {
        // Best effort: without its line, the point is passed all the same.
        let _ = trace.write_all(format!("{}\n", point.name()).as_bytes());
    }
    for fault in &plan.faults {
        let number = match fault.point {
            Some(name) if name != point.name() => continue,
            Some(_) => fault.passed.fetch_add(1, Ordering::SeqCst) + 1,
            None => number,
        };
        if number == fault.number || fault.lasting && number > fault.number {
            return match fault.action {
                Action::Kill => die(),
                Action::Torn => Verdict::Tear,
                Action::Fail(error) => Verdict::Fail(error),
            };
        }
    }
    Verdict::Go
}

/// As a `kill -9` from outside: nothing of this process runs any more.
pub(super) fn die() -> ! {
    loop {
        // It is sent to ourselves, and cannot be refused or caught.
        let _ = kill_process(getpid(), Signal::KILL);
        std::thread::yield_now();
    }
}

fn plan() -> &'static Plan {
    PLAN.get_or_init(|| {
        let text = std::env::var("SLIPWAY_FAULT").unwrap_or_default();
        let faults = text.split(',').filter(|text| !text.is_empty()).filter_map(|text| {
            let fault = Fault::parse(text);
            if fault.is_none() {
                tracing::warn!(fault = text, "SLIPWAY_FAULT is not understood");
            }
            fault
        });
        let trace = std::env::var_os("SLIPWAY_FAULT_TRACE")
            .and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
        Plan { faults: faults.collect(), trace, passed: AtomicU64::new(0) }
    })
}

impl Fault {
    /// `None` for what is no fault.
    fn parse(text: &str) -> Option<Self> {
        let (action, place) = text.split_once('@')?;
        let action = match action {
            "kill" => Action::Kill,
            "torn" => Action::Torn,
            "enospc" => Action::Fail(Errno::NOSPC),
            "eio" => Action::Fail(Errno::IO),
            _ => return None,
        };
        let (name, number) = match place.rsplit_once(':') {
            Some((name, number)) => (Some(name), number),
            None => (None, place),
        };
        let point = match name {
            None => None,
            Some(name) => Some(Point::ALL.iter().find(|point| point.name() == name)?.name()),
        };
        let lasting = number.ends_with('+');
        let number = number.trim_end_matches('+').parse().ok().filter(|number| *number > 0)?;
        Some(Self { action, point, number, lasting, passed: AtomicU64::new(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_parsed_and_nonsense_is_not() {
        let fault = Fault::parse("enospc@blob.rename:3+").unwrap();
        assert!(fault.action == Action::Fail(Errno::NOSPC) && fault.lasting);
        assert_eq!((fault.point, fault.number), (Some("blob.rename"), 3));
        assert!(Fault::parse("kill@17").is_some_and(|fault| fault.point.is_none() && !fault.lasting));
        for bad in ["", "kill", "kill@", "kill@0", "kill@x", "kill@nowhere:1", "sleep@1"] {
            assert!(Fault::parse(bad).is_none(), "{bad:?}");
        }
    }
}
