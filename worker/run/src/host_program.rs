//! A program of the host, run to its end: plugins, and what writes firewall rules.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What a program said.
pub(crate) struct Said {
    /// What it ended with; none if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

/// One that takes longer is killed.
const LONGEST: Duration = Duration::from_secs(120);
/// What is said beyond is not listened to.
const LOUDEST: u64 = 1 << 20;

/// Runs `command` with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> io::Result<Said> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = std::thread::scope(|scope| {
        let _watching = scope.spawn(|| kill_when_late(&child));
        let stderr = scope.spawn(|| listen(stderr));
        if let Some(mut stdin) = stdin {
            // One that does not want to know ends as it likes.
            let _ = stdin.write_all(input);
        }
        (listen(stdout), stderr.join().unwrap_or_default())
    });
    Ok(Said { code: child.wait()?.code(), stdout, stderr })
}

/// Whether there is such a program in the daemon's `PATH`.
pub(crate) fn exists(program: impl AsRef<OsStr>) -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(program.as_ref()).is_file())
}

fn listen(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(LOUDEST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn kill_when_late(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    let longest = Timespec { tv_sec: LONGEST.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&longest)) == Ok(0) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}
