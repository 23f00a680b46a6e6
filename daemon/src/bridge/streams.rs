//! The standard streams of a process: pipes, or one terminal for all of them.
//!
//! The daemon holds the other ends. A terminal is of the host; the process gets it as an open descriptor and, as
//! its controlling terminal, all that a shell needs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use slipway_proto::gateway::FdMessage;
use slipway_run::Stdio;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::exec::{Sender, output};

const PIECE: usize = 32 << 10;
/// Messages for a process that does not read them; more make the stream wait.
const UNREAD: usize = 64;

/// The daemon's ends.
pub(super) struct Streams {
    input: Option<Arc<AsyncFd<OwnedFd>>>,
    /// By the number that the process knows it under. None: only its end is told.
    outputs: Vec<(u32, Option<Arc<AsyncFd<OwnedFd>>>)>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
}

/// What the frontend has to say to a process.
pub(super) struct Writer {
    input: Option<mpsc::Sender<Bytes>>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
}

impl Streams {
    /// Opens those that are wanted; the others are empty.
    pub(super) fn open(wanted: &[u32], terminal: bool) -> Result<(Self, Stdio), Status> {
        if let Some(fd) = wanted.iter().find(|fd| **fd > 2) {
            let unsupported = format!("descriptor {fd} of a process is not supported: 0, 1 and 2 are");
            return Err(Status::invalid_argument(unsupported));
        }
        let opened = if terminal { Self::terminal(wanted) } else { Self::pipes(wanted) };
        opened.map_err(|error| Status::internal(format!("cannot make the streams of a process: {error}")))
    }

    fn pipes(wanted: &[u32]) -> io::Result<(Self, Stdio)> {
        let mut streams = Self { input: None, outputs: Vec::new(), terminal: None };
        let mut stdin = None;
        if wanted.contains(&0) {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            streams.input = Some(asynchronous(write)?);
            stdin = Some(read);
        }
        let mut out = |fd: u32| -> io::Result<OwnedFd> {
            if !wanted.contains(&fd) {
                return Ok(rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?);
            }
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            streams.outputs.push((fd, Some(asynchronous(read)?)));
            Ok(write)
        };
        let (stdout, stderr) = (out(1)?, out(2)?);
        Ok((streams, Stdio { stdin, stdout, stderr }))
    }

    fn terminal(wanted: &[u32]) -> io::Result<(Self, Stdio)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&ours)?;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
        let copy = || rustix::io::fcntl_dupfd_cloexec(&theirs, 0);
        let io = Stdio { stdin: Some(copy()?), stdout: copy()?, stderr: copy()? };
        let ours = asynchronous(ours)?;
        // A terminal has one output; the error stream of its own has an end and nothing else.
        let outputs = wanted.iter().filter(|fd| **fd > 0);
        let outputs = outputs.map(|fd| (*fd, (*fd == 1).then(|| ours.clone()))).collect();
        let input = wanted.contains(&0).then(|| ours.clone());
        Ok((Self { input, outputs, terminal: Some(ours) }, io))
    }

    /// Begins to carry; the readers end some time after `ended`.
    pub(super) fn serve(
        self,
        process: &str,
        sender: &Sender,
        ended: &CancellationToken,
    ) -> (Writer, Vec<JoinHandle<()>>) {
        let reader = |(fd, output): (u32, Option<Arc<AsyncFd<OwnedFd>>>)| {
            tokio::spawn(read(output, fd, process.to_owned(), sender.clone(), ended.clone()))
        };
        let readers = self.outputs.into_iter().map(reader).collect();
        let input = self.input.map(|input| {
            let (queue, queued) = mpsc::channel(UNREAD);
            tokio::spawn(write(input, queued, ended.clone()));
            queue
        });
        (Writer { input, terminal: self.terminal }, readers)
    }
}

impl Writer {
    /// Data of a process that reads no more is dropped.
    pub(super) async fn write(&mut self, file: FdMessage) -> Result<(), Status> {
        let input = self.input.as_ref().filter(|_| file.fd == 0);
        let Some(input) = input else {
            return Err(Status::out_of_range(format!("fd {} unavailable to write", file.fd)));
        };
        if !file.data.is_empty() {
            let _ = input.send(file.data).await;
        }
        if file.eof {
            self.input = None;
        }
        Ok(())
    }

    /// Tells the terminal its size; a process without one does not care.
    pub(super) fn resize(&self, rows: u32, columns: u32) {
        let Some(terminal) = &self.terminal else { return };
        let bound = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let size = Winsize { ws_row: bound(rows), ws_col: bound(columns), ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(error) = rustix::termios::tcsetwinsize(terminal.as_fd(), size) {
            tracing::debug!(%error, "a terminal did not take its size");
        }
    }
}

fn asynchronous(fd: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    // SAFETY: an `OwnedFd` names the same open file as long as it lives.
    let registered = unsafe { AsyncFd::register(fd) };
    registered.map(Arc::new).map_err(|error| io::Error::other(error.to_string()))
}

/// Until nobody writes any more; or until the process has ended and what it wrote is read, since others may hold
/// the stream for long.
async fn read(
    from: Option<Arc<AsyncFd<OwnedFd>>>,
    fd: u32,
    process: String,
    sender: Sender,
    ended: CancellationToken,
) {
    match from {
        None => ended.cancelled().await,
        Some(from) => {
            let mut buffer = vec![0; PIECE];
            while let Some(length) = next(&from, &mut buffer, &ended).await {
                let data = Bytes::copy_from_slice(&buffer[..length]);
                // Read on where nobody listens, so that the process does not stall.
                let _ = sender.send(Ok(output(&process, fd, data))).await;
            }
        }
    }
    let _ = sender.send(Ok(output(&process, fd, Bytes::new()))).await;
}

/// The length of the next piece; none at the end. A terminal that nobody has open any more gives an error.
async fn next(from: &AsyncFd<OwnedFd>, buffer: &mut [u8], ended: &CancellationToken) -> Option<usize> {
    loop {
        let mut ready = tokio::select! {
            biased;
            ready = from.readable() => ready.ok()?,
            () = ended.cancelled() => {
                return rustix::io::read(from.get_ref(), buffer).ok().filter(|length| *length > 0);
            }
        };
        match ready.try_io(|from| Ok(rustix::io::read(from.get_ref(), &mut *buffer)?)) {
            Ok(read) => return read.ok().filter(|length| *length > 0),
            Err(_) => continue,
        }
    }
}

async fn write(to: Arc<AsyncFd<OwnedFd>>, mut queued: mpsc::Receiver<Bytes>, ended: CancellationToken) {
    let carry = async {
        while let Some(data) = queued.recv().await {
            let mut rest = &data[..];
            while !rest.is_empty() {
                let Ok(mut ready) = to.writable().await else { return };
                match ready.try_io(|to| Ok(rustix::io::write(to.get_ref(), rest)?)) {
                    Ok(Ok(length)) => rest = rest.get(length..).unwrap_or_default(),
                    Ok(Err(_)) => return,
                    Err(_) => {}
                }
            }
        }
    };
    tokio::select! {
        () = carry => {}
        () = ended.cancelled() => {}
    }
}
