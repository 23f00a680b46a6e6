//! The helper: a small, single-threaded process between the daemon and one step.
//!
//! ```text
//! daemon --posix_spawn--> helper --clone3--> process 1 of the step
//!                           |                   |
//!   on the host's mounts:   |                   |  in namespaces of its own:
//!   open trees (detached)   |                   |  attach trees, /proc /dev /sys, pivot_root
//!   user, working directory |                   |  filter, limits, capabilities, execve
//!   list mount stubs        |                   |
//!   wait, or kill           |                   |
//!   remove stubs, groups    |
//! ```
//!
//! The helper itself never enters the step's namespaces and mounts nothing where others could see it: a tree
//! is opened as a *detached* mount, a descriptor that the step's first process attaches on its side. The
//! mounts die with that process; the helper's descriptor is then all that is left, to clean up through.
//!
//! | file | holds |
//! |---|---|
//! | `attempt` | errors that name the step that failed |
//! | `in_root` | paths of a tree, resolved by the kernel |
//! | `tree` | trees and files as detached mounts |
//! | `prepare` | the part before the clone |
//! | `user` | `/etc/passwd`, `/etc/group` |
//! | `stubs` | mount points that must not stay |
//! | `supervise` | the part after the clone: wait, kill, count |
//! | `container` | process 1, up to the root; with `standard`, `devices`, `masks` |
//! | `join` | one more process in a container that runs |
//! | `command` | from there to `execve`; with `privileges`, `execute` |
//! | `bundle`, `runtime_config`, `runtime_command` | the same through an OCI runtime |
//! | `runtime_join` | one more process in a container of an OCI runtime |
//! | `outside` | making ready what somebody else runs, and cleaning up after it |

mod attempt;
mod bundle;
mod command;
mod container;
mod devices;
mod execute;
mod in_root;
mod join;
mod limits;
mod masks;
mod outside;
mod prepare;
mod privileges;
pub(crate) mod runtime_command;
mod runtime_config;
mod runtime_join;
mod standard;
mod stubs;
mod supervise;
mod tree;
mod user;

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::thread::LinkNameSpaceType;

pub(crate) use attempt::{Attempt, Doing, failure};

use crate::protocol::{self, HELPER_NAME, HELPER_SOCKET, Order, Report, Runtime};

/// If this process was started as a step's helper, be that and never return.
///
/// To be called first thing in `main`, before any thread exists.
pub fn main_if_helper() {
    if std::env::args_os().next().is_some_and(|name| name == HELPER_NAME) {
        std::process::exit(if serve().is_ok() { 0 } else { 1 });
    }
}

/// Makes a test binary able to run steps: it has no `main` of its own to call [`main_if_helper`] in, so this is
/// called before the test harness, as the C library calls constructors.
#[macro_export]
macro_rules! run_helper_before_main {
    () => {
        #[used]
        #[unsafe(link_section = ".init_array")]
        static RUN_HELPER_BEFORE_MAIN: extern "C" fn() = {
            extern "C" fn call() {
                $crate::main_if_helper();
            }
            call
        };
    };
}

fn serve() -> io::Result<()> {
    close_all_from(HELPER_SOCKET + 1);
    rustix::io::fcntl_setfd(
        // SAFETY: only looked at; where it is not open the call says so.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(HELPER_SOCKET) },
        rustix::io::FdFlags::CLOEXEC,
    )?;
    // SAFETY: open (the call above succeeded), and nothing else in this process owns it.
    let mut socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(HELPER_SOCKET) });
    let Some(order) = protocol::read_message::<Order>(&mut socket)? else { return Ok(()) };
    let Some(filter) = protocol::read_frame(&mut socket)? else { return Ok(()) };
    if order.needs_network() {
        let Some(network) = protocol::receive_descriptor(&socket)? else { return Ok(()) };
        // Whatever is started from here on is born in it.
        rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    let report = match &order.runtime {
        Runtime::Builtin => supervise::run(&order, &filter, &socket),
        Runtime::Oci(runtime) => bundle::run(&order, runtime, &socket),
        Runtime::Outside(place) => outside::run(&order, place, &socket),
        Runtime::OciJoin(runtime, container) => runtime_join::run(&order, container, runtime, &socket),
        Runtime::Join(container) => {
            let Some(process) = protocol::receive_descriptor(&socket)? else { return Ok(()) };
            join::run(&order, container, &process, &filter, &socket)
        }
    };
    protocol::write_message(&mut socket, &report.unwrap_or_else(Report::Failed))
}

/// Whatever the daemon had open without close-on-exec is none of the step's business.
fn close_all_from(first: i32) {
    // SAFETY: called while this process owns no descriptor above the first four.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}
