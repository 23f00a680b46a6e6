//! A program that is running, and what came of it.
//!
//! Every program gets a process group of its own, and is killed with all of it when its time is up or the
//! test ends: a hanging program fails one test and keeps nothing.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::command::line;
use crate::progress::Progress;

/// As long as any one command may take.
const TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Dropped, it is killed.
pub struct Running {
    child: Child,
    line: String,
    started: Instant,
    stdout: Stream,
    stderr: Stream,
}

/// What a program has written so far, and the thread that reads it.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    pub line: String,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
    pub took: Duration,
}

impl Running {
    /// Starts `command` with `input` as its standard input.
    pub fn start(mut command: Command, input: Option<Vec<u8>>) -> Self {
        let line = line(&command);
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // It may end without reading all of it.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let stdout = Stream::read(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Stream::read(child.stderr.take().expect("stderr is a pipe"));
        Self { child, line, started: Instant::now(), stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes.lock()).into_owned()
    }

    /// Returns as soon as `text` has been written to standard error.
    pub fn wait_for(&mut self, text: &str) {
        let found = eventually(TIMEOUT, || self.stderr().contains(text) || self.has_ended());
        let said = self.stderr();
        assert!(found && said.contains(text), "{} never said {text:?}:\n{said}", self.line);
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.line));
    }

    /// Waits for the end; a program that does not come to one fails the test.
    pub fn wait(mut self) -> Outcome {
        if !eventually(TIMEOUT, || self.has_ended()) {
            let said = self.stderr();
            panic!("{} did not end within {} s:\n{said}", self.line, TIMEOUT.as_secs());
        }
        let took = self.started.elapsed();
        let status = self.child.wait().expect("it has ended");
        // Its children may still hold the pipes.
        eventually(Duration::from_secs(5), || {
            self.stdout.reader.is_finished() && self.stderr.reader.is_finished()
        });
        let stdout = self.stdout.bytes.lock().clone();
        Outcome { line: self.line.clone(), stdout, stderr: self.stderr(), status, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(pid(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Stream {
    fn read(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                read.lock().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, reader }
    }
}

impl Outcome {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The exit code as a shell shows it: 128 and the number of the signal that killed it.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}", self.told());
        self
    }

    /// It failed with this code, and its standard error holds all of `parts`.
    #[track_caller]
    pub fn failed(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code(), code, "{}", self.told());
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in what was said\n{}", self.told());
        }
        assert!(!self.stderr.contains("panicked at"), "{}", self.told());
        self
    }

    /// The lines that begin with `ERROR:`: there should be one.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("ERROR:")).collect()
    }

    /// Plain progress, step by step.
    pub fn progress(&self) -> Progress {
        Progress::parse(&self.stderr)
    }

    /// All there is to know, for a person who reads why a test failed.
    pub fn told(&self) -> String {
        format!(
            "$ {}\n{}\n{}\n-- ended with {} after {:?}",
            self.line,
            self.stdout(),
            self.stderr,
            self.code(),
            self.took
        )
    }
}

/// Whether `done` comes true in time.
pub fn eventually(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
