//! A step's output on its way into the log.
//!
//! Each stream is a pipe that is read in large pieces. All of it is logged unless that is limited
//! ([`super::log_limit`]). Logging writes to a file, so it happens away from the threads that serve everybody; the next
//! piece is read when the one before is written, and the step waits for no reader of the log.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use slipway_solver::OpContext;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::log_limit::LogLimits;
use crate::{Error, Result, Value};

const PIECE: usize = 64 << 10;

/// A stream that flows into the log.
pub(super) struct LogPipe {
    stream: u32,
    copying: JoinHandle<Bytes>,
}

/// What a limit has kept out of the log.
pub(super) struct LeftOut {
    stream: u32,
    end: Bytes,
}

/// A pipe whose reading end flows into the log of `ctx`, and the end to write to.
pub(super) fn log_pipe(ctx: &OpContext<Value>, stream: u32, limits: LogLimits) -> Result<(OwnedFd, LogPipe)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| Error::io("cannot make a pipe", error))?;
    rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)
        .map_err(|error| Error::io("cannot set up a pipe", error))?;
    let reader =
        pipe::Receiver::from_owned_fd(read).map_err(|error| Error::io("cannot read a pipe", error))?;
    let copying = tokio::spawn(copy(reader, ctx.clone(), stream, limits));
    Ok((write, LogPipe { stream, copying }))
}

impl LogPipe {
    /// Returns when all writers are gone and all they wrote is in the log.
    pub(super) async fn end(self) -> LeftOut {
        LeftOut { stream: self.stream, end: self.copying.await.unwrap_or_default() }
    }
}

impl LeftOut {
    /// Logs the end of what was left out: of a step that has failed it says why.
    pub(super) async fn show(self, ctx: &OpContext<Value>) {
        if !self.end.is_empty() {
            log(ctx, self.stream, self.end).await;
        }
    }
}

/// Gives back the end of what was left out.
async fn copy(mut reader: pipe::Receiver, ctx: OpContext<Value>, stream: u32, limits: LogLimits) -> Bytes {
    let mut buffer = vec![0; PIECE];
    let mut clip = limits.clip();
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        let piece = &buffer[..length];
        let (shown, note) = match &mut clip {
            None => (Bytes::copy_from_slice(piece), None),
            Some(clip) => clip.admit(piece),
        };
        if !shown.is_empty() {
            log(&ctx, stream, shown).await;
        }
        if let Some(note) = note {
            log(&ctx, stream, note.into()).await;
        }
    }
    clip.map(super::log_limit::Clip::into_end).unwrap_or_default()
}

async fn log(ctx: &OpContext<Value>, stream: u32, data: Bytes) {
    let ctx = ctx.clone();
    // It fails only when the runtime ends.
    let _ = tokio::task::spawn_blocking(move || ctx.log(stream, data)).await;
}
