//! The writes of the database, past their points.
//!
//! SQLite's unix layer asks for its system calls by name and lets them be replaced, which its own tests use for
//! the same purpose. Its fsyncs are not among them; but whatever a kill does, it does to the page cache,
//! where an fsync changes nothing, and before each of them goes a write.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Once;

use rusqlite::ffi;
use rustix::io::Errno;

use super::Point;
use super::armed::{Verdict, die, is_armed, judge};

/// Replaces the calls, if there is anything to do for it.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if is_armed() {
            replace(c"write", write as *const ());
            replace(c"pwrite", pwrite as *const ());
            replace(c"pwrite64", pwrite as *const ());
            replace(c"ftruncate", ftruncate as *const ());
            replace(c"unlink", unlink as *const ());
        }
    });
}

fn replace(name: &CStr, call: *const ()) {
    // SAFETY: the default layer lives as long as the process; a name it does not know is refused. `call` is a
    // function of the C signature that the name stands for, as SQLite's source lists them.
    unsafe {
        let layer = ffi::sqlite3_vfs_find(std::ptr::null());
        if let Some(set) = layer.as_ref().and_then(|layer| layer.xSetSystemCall) {
            let call = std::mem::transmute::<*const (), ffi::sqlite3_syscall_ptr>(call);
            set(layer, name.as_ptr(), call);
        }
    }
}

/// What SQLite is to see: `whole` and `half` make the call with all or half of the bytes.
fn through(point: Point, whole: impl FnOnce() -> isize, half: impl FnOnce() -> isize) -> isize {
    match judge(point) {
        Verdict::Go => whole(),
        Verdict::Tear => {
            half();
            die()
        }
        Verdict::Fail(error) => refuse(error),
    }
}

fn refuse(error: Errno) -> isize {
    // SAFETY: the address of this thread's own errno.
    unsafe { *libc::__errno_location() = error.raw_os_error() };
    -1
}

unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: usize) -> isize {
    // SAFETY: the arguments are those that SQLite made the call with.
    let write = |length| unsafe { libc::write(fd, bytes, length) };
    through(Point::DatabaseWrite, || write(length), || write(length / 2))
}

unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, length: usize, at: i64) -> isize {
    // SAFETY: the arguments are those that SQLite made the call with.
    let write = |length| unsafe { libc::pwrite(fd, bytes, length, at) };
    through(Point::DatabaseWrite, || write(length), || write(length / 2))
}

unsafe extern "C" fn ftruncate(fd: c_int, length: i64) -> c_int {
    // SAFETY: the arguments are those that SQLite made the call with.
    let truncate = || unsafe { libc::ftruncate(fd, length) };
    through(Point::DatabaseTruncate, || truncate() as isize, || 0) as c_int
}

unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the arguments are those that SQLite made the call with.
    let unlink = || unsafe { libc::unlink(path) };
    through(Point::DatabaseUnlink, || unlink() as isize, || 0) as c_int
}
