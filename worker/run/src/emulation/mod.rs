//! Which machines' programs run here: the host's own, and those that an emulator stands behind (`binfmt_misc`).
//!
//! Where emulators are registered is not always to be seen: in a container `/proc/sys/fs/binfmt_misc` is empty though
//! they work. So each machine is tried with a program of its own, made here ([`program`]): a few instructions that end
//! with a number nobody else ends with. The kernel refuses it at once where nobody runs it.

mod program;

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::Command;

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use slipway_model::Platform;

use self::program::{MACHINES, Machine};
use crate::host_program;

/// The host's platform first, then what else runs. Tries programs, so it blocks for a moment.
pub fn runnable_platforms() -> Vec<Platform> {
    let host = Platform::host();
    let mut platforms = vec![host.clone()];
    platforms.extend(levels().iter().map(|level| Platform::new("linux", "amd64", level)));
    for machine in MACHINES.iter().filter(|machine| machine.architecture != host.architecture) {
        if runs(machine) {
            platforms.extend(
                machine.variants.iter().map(|variant| Platform::new("linux", machine.architecture, variant)),
            );
        }
    }
    platforms
}

fn runs(machine: &Machine) -> bool {
    let try_it = || -> std::io::Result<bool> {
        let memory = rustix::fs::memfd_create(c"emulation", MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(memory);
        file.write_all(&machine.program())?;
        // An emulator opens the program by its name, after it was executed.
        rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
        let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(host_program::run(command.env_clear(), &[])?.code == Some(program::EXIT))
    };
    try_it().unwrap_or(false)
}

/// Which levels of the x86-64 psABI, section 3.1.1, this processor reaches beyond the first.
#[cfg(target_arch = "x86_64")]
fn levels() -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;
    let second = has!("sse3") && has!("ssse3") && has!("sse4.1") && has!("sse4.2") && has!("popcnt");
    let second = second && has!("cmpxchg16b");
    let third = has!("avx") && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("f16c") && has!("fma");
    let third = third && has!("lzcnt") && has!("movbe");
    let fourth =
        has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    let reached = [("v2", second), ("v3", second && third), ("v4", second && third && fourth)];
    reached.into_iter().filter(|(_, reached)| *reached).map(|(level, _)| level).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn levels() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_program_runs() {
        let host = Platform::host();
        let own = MACHINES.iter().find(|machine| machine.architecture == host.architecture).unwrap();
        assert!(runs(own));
        assert_eq!(runnable_platforms().first(), Some(&host));
    }

    #[test]
    fn a_machine_that_nobody_knows_does_not_run() {
        let unknown = Machine { machine: 0xfee1, ..MACHINES[0] };
        assert!(!runs(&unknown));
    }
}
