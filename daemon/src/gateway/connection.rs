//! A frontend's standard streams as a connection.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use slipway_proto::gateway::llb_bridge_server::LlbBridgeServer;
use slipway_proto::health::health_server::HealthServer;
use slipway_run::Stdio;
use slipway_session::LARGEST_MESSAGE;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::bridge::{Bridge, Guest};
use crate::control::Health;
use crate::engine::Engine;

/// Of what a frontend writes to its error stream, the end is kept.
const KEPT: usize = 4 << 10;

/// Our ends of a frontend's standard streams.
pub(super) struct Streams {
    read: pipe::Receiver,
    write: pipe::Sender,
    errors: pipe::Receiver,
}

impl Streams {
    pub(super) fn open() -> io::Result<(Self, Stdio)> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let ((stdin, write), (read, stdout), (errors, stderr)) = (pipe()?, pipe()?, pipe()?);
        let ours = Self {
            read: pipe::Receiver::from_owned_fd(nonblocking(read)?)?,
            write: pipe::Sender::from_owned_fd(nonblocking(write)?)?,
            errors: pipe::Receiver::from_owned_fd(nonblocking(errors)?)?,
        };
        Ok((ours, Stdio { stdin: Some(stdin), stdout, stderr }))
    }

    /// Serves `guest` until the frontend closes its output, or says what is no HTTP/2; the token tells.
    pub(super) fn serve(self, engine: &Arc<Engine>, guest: Guest) -> (CancellationToken, Errors) {
        let ended = CancellationToken::new();
        let connection =
            Connection { read: self.read, write: self.write, _ended: ended.clone().drop_guard() };
        let bridge = LlbBridgeServer::new(Bridge::for_guest(engine.clone(), guest))
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let end = futures::stream::once(ended.clone().cancelled_owned()).filter_map(|()| async { None });
        let serving = Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .add_service(bridge)
            .add_service(HealthServer::new(Health))
            .serve_with_incoming(futures::stream::iter([Ok::<_, io::Error>(connection)]).chain(end));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "the connection of a frontend ended");
            }
        });
        (ended, Errors::collect(self.errors))
    }
}

fn nonblocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    Ok(fd)
}

/// What a frontend has written to its error stream, the end of it.
#[derive(Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Vec<u8>>>);

impl Errors {
    fn collect(mut from: pipe::Receiver) -> Self {
        let errors = Self::default();
        let kept = errors.0.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; KEPT];
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                let mut kept = kept.lock();
                kept.extend_from_slice(&buffer[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
        errors
    }

    /// For the end of a message: nothing, or a line break and the text.
    pub(super) fn as_appendix(&self) -> String {
        let text = String::from_utf8_lossy(&self.0.lock()).trim().to_owned();
        if text.is_empty() { text } else { format!("\n{text}") }
    }
}

struct Connection {
    read: pipe::Receiver,
    write: pipe::Sender,
    /// Tells that whoever had the connection is done with it.
    _ended: DropGuard,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
