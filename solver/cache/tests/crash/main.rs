//! The store, the records and the solver are killed, or fail, at every point where they change a file; what
//! they leave is looked at.
//!
//! This test runs itself as a child, which does what [`scenario`] says until `SLIPWAY_FAULT` ends it, and opens
//! what is left. How many points are tried, spread evenly: `SLIPWAY_CRASHES=COUNT`, or `all`; without it,
//! as many as a moment allows. `SLIPWAY_CRASH_AT=kill@17` tries that one alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "a sweep says what it did")]

mod damage;
mod scenario;
mod verify;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Points tried in each way when nobody says how many.
const FEW: usize = 40;

/// How one child ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Killed,
    /// It went through to its end; what it was told to fail at failed, or was never reached.
    Through,
}

/// In memory, where nobody else's writes are waited for; what a kill leaves is the same.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn run(root: &Path, what: &str, fault: &str, trace: Option<&Path>) -> End {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
    child.env("CRASH_ROOT", root).env("CRASH_SCENARIO", what).env("SLIPWAY_FAULT", fault);
    if let Some(trace) = trace {
        child.env("SLIPWAY_FAULT_TRACE", trace);
    }
    let said = child.stdin(Stdio::null()).output().unwrap();
    match (said.status.signal(), said.status.code()) {
        (Some(9), _) => End::Killed,
        (_, Some(0)) => End::Through,
        _ => panic!(
            "{fault}: {}\n{}{}",
            said.status,
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        ),
    }
}

#[test]
#[ignore = "what the other tests run as a child"]
fn child() {
    let Some(root) = std::env::var_os("CRASH_ROOT") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match std::env::var("CRASH_SCENARIO").as_deref() {
            Ok("open") => scenario::open_and_close(Path::new(&root)),
            Ok("some") => scenario::some(Path::new(&root)).await,
            _ => scenario::all(Path::new(&root)).await,
        }
    });
}

/// The points that a child passes when nothing happens to it, in order.
fn points() -> Vec<String> {
    let folder = folder();
    let trace = folder.path().join("trace");
    assert_eq!(run(&folder.path().join("root"), "all", "", Some(&trace)), End::Through);
    std::fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect()
}

/// One child with one fault, and what it leaves.
fn one(fault: &str, number: usize) -> End {
    let folder = folder();
    let root = folder.path().join("root");
    let end = run(&root, "all", fault, None);
    if end == End::Killed && number.is_multiple_of(3) {
        // Killed once more while the next one tidies up.
        run(&root, "open", &format!("kill@{}", number / 3 % 40 + 1), None);
    }
    let verified = std::panic::catch_unwind(|| verify::all(&root));
    if let Err(panic) = verified {
        eprintln!("== after {fault}: to see it again, SLIPWAY_CRASH_AT={fault}");
        std::panic::resume_unwind(panic);
    }
    end
}

fn sweep(action: &str) {
    let points = points();
    let asked = std::env::var("SLIPWAY_CRASHES").unwrap_or_default();
    let count = match asked.as_str() {
        "all" => points.len(),
        "" => FEW,
        number => number.parse().unwrap(),
    };
    let count = count.min(points.len());
    let numbers: Vec<usize> = (0..count).map(|index| index * points.len() / count + 1).collect();
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fault = format!("{action}@{number}");
                    match std::panic::catch_unwind(|| one(&fault, *number)) {
                        Ok(End::Killed) => drop(killed.fetch_add(1, Ordering::Relaxed)),
                        Ok(End::Through) => {}
                        Err(_) => failed.lock().push(fault),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let mut kinds = BTreeMap::<&str, usize>::new();
    points.iter().for_each(|point| *kinds.entry(point).or_default() += 1);
    eprintln!(
        "{action}: {count} of {} points, {} killed, {} failed: {kinds:?}",
        points.len(),
        killed.into_inner(),
        failed.len()
    );
    assert!(failed.is_empty(), "failed after {failed:?}");
}

#[test]
fn a_kill_at_any_point_loses_nothing_and_tears_nothing() {
    match std::env::var("SLIPWAY_CRASH_AT") {
        Ok(fault) => eprintln!("{fault}: {:?}", one(&fault, 1)),
        Err(_) => sweep("kill"),
    }
}

#[test]
fn half_a_write_loses_nothing_and_tears_nothing() {
    sweep("torn");
}

#[test]
fn a_full_disk_at_any_point_leaves_no_orphan() {
    sweep("enospc");
}

#[test]
fn an_io_error_at_any_point_leaves_no_orphan() {
    sweep("eio");
}
