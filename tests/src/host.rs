//! A host of a test's own: a network namespace in which nothing of the machine's network is to be seen.

use std::process::Command;

use crate::command::{exists, is_root};

/// Runs `test` on a thread in such a namespace. Threads and programs that are started there are in it as well, and so
/// are servers that the test starts. Without the right to make one, the test is skipped.
pub fn of_its_own(test: impl FnOnce() + Send) {
    if !is_root() || !exists("ip") || !exists("nft") {
        println!("skipped: needs root, iproute2 and nftables");
        return;
    }
    std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            // SAFETY: concerns this thread alone, and those that it starts.
            let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
            unshared.expect("a network namespace");
            ip("link set lo up");
            test();
        });
        if let Err(panic) = host.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// What `ip ARGUMENTS` says.
#[track_caller]
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip runs");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
