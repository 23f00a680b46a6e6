//! Keeping a daemon that waits small.
//!
//! glibc makes an arena for nearly every thread, and keeps what was freed for later. The first costs a
//! daemon with many short-lived threads more than it gains; the second is right during a build, and
//! wasteful after it. Other allocators are left alone.

/// To be called before there are threads.
#[cfg(target_env = "gnu")]
pub(crate) fn use_few_arenas() {
    // SAFETY: `mallopt` takes two numbers; one it does not know changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

/// Gives freed memory back to the system. It takes a while where much was freed.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    // SAFETY: `malloc_trim` may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn use_few_arenas() {}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
