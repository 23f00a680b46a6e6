//! A step's output on its way into the log.
//!
//! Each stream is a pipe that is read in large pieces. What one step may say is limited; past the
//! limit its output is read and dropped, so that the step does not stall.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use slipway_solver::OpContext;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::{Error, Result, Value};

/// Bytes of log of one step and stream.
const MOST_LOG: usize = 2 << 20;
const PIECE: usize = 32 << 10;

/// A pipe whose reading end flows into the log of `ctx`; the task ends when all writers are gone.
pub(super) fn log_pipe(ctx: &OpContext<Value>, stream: u32) -> Result<(OwnedFd, JoinHandle<()>)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| Error::io("cannot make a pipe", error))?;
    rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)
        .map_err(|error| Error::io("cannot set up a pipe", error))?;
    let reader =
        pipe::Receiver::from_owned_fd(read).map_err(|error| Error::io("cannot read a pipe", error))?;
    let ctx = ctx.clone();
    Ok((write, tokio::spawn(copy(reader, ctx, stream))))
}

async fn copy(mut reader: pipe::Receiver, ctx: OpContext<Value>, stream: u32) {
    let mut buffer = vec![0; PIECE];
    let mut logged = 0;
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        if logged >= MOST_LOG {
            continue;
        }
        let length = length.min(MOST_LOG - logged);
        logged += length;
        ctx.log(stream, Bytes::copy_from_slice(&buffer[..length]));
        if logged >= MOST_LOG {
            let note = format!("\n[output clipped, log limit {} MiB reached]\n", MOST_LOG >> 20);
            ctx.log(stream, note.into());
        }
    }
}
