//! Keeping a daemon that waits small.
//!
//! glibc makes an arena for nearly every thread, and keeps what was freed for later. The first costs a
//! daemon with many short-lived threads more than it gains; the second is right during a build, and
//! wasteful after it. Other allocators are left alone.
//!
//! What a daemon that has just started holds is mostly code: the kernel maps 64 KiB around each function that was ever
//! called, and those of start-up are called once. [`let_go_of_code`] takes them out of the process. They stay in the
//! page cache for as long as nobody needs the memory more, and what runs again is mapped again, a microsecond for each
//! 64 KiB. It is not done after builds: the next one needs the same code.

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

/// Takes the binary's code out of the process until it is called again.
pub(crate) fn let_go_of_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Ok(binary) = std::env::current_exe() else { return };
    let code = maps.lines().filter(|line| binary.to_str().is_some_and(|path| line.ends_with(path)));
    for (start, end) in code.filter_map(executable) {
        // SAFETY: the range is a mapping of the binary that nothing can write to, so that each of its pages is read
        // from the file again when it is needed. Relocated data is in other mappings, which are not executable.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// Where a line of `/proc/PID/maps` (proc_pid_maps(5)) says that code is which cannot be changed.
fn executable(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split(' ');
    let (range, access) = (fields.next()?, fields.next()?);
    let (start, end) = range.split_once('-').filter(|_| access == "r-xp")?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn use_few_arenas() {}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_was_let_go_runs_again() {
        let line = "55d0c0a00000-55d0c1c34000 r-xp 00519000 fe:00 131 /usr/bin/slipway";
        assert_eq!(executable(line), Some((0x55d0_c0a0_0000, 0x55d0_c1c3_4000)));
        assert_eq!(executable(&line.replace("r-xp", "rwxp")), None);
        assert_eq!(executable(&line.replace("r-xp", "r--p")), None);
        let_go_of_code();
        assert_eq!(executable("this is no mapping"), None);
    }
}
