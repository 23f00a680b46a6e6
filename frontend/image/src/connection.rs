//! Standard input and output as an HTTP/2 connection, this side being the client.
//!
//! hyper drives it directly: there is one connection, which cannot be opened again, so a channel that would is of no
//! use.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::unix::pipe;
use tonic::body::Body;

use crate::{Error, Result};

/// A tower service over the one connection, as tonic's generated clients want it.
#[derive(Clone)]
pub struct Connection(http2::SendRequest<Body>);

impl Connection {
    /// Takes the standard streams. The connection is driven by a task of its own.
    pub(crate) async fn open() -> Result<Self> {
        let (input, output) = streams().map_err(|error| Error::NotRunByBuilder(error.to_string()))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(tokio::io::join(input, output)))
            .await?;
        tokio::spawn(async move {
            // Whoever waits for an answer hears of it.
            let _ = connection.await;
        });
        Ok(Self(sender))
    }
}

fn streams() -> io::Result<(pipe::Receiver, pipe::Sender)> {
    let input = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    for pipe in [&input, &output] {
        let flags = rustix::fs::fcntl_getfl(pipe)?;
        rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
    }
    Ok((pipe::Receiver::from_owned_fd(input)?, pipe::Sender::from_owned_fd(output)?))
}

impl tower::Service<http::Request<Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// What generated clients put in front of a method's path; nobody resolves it.
pub(crate) fn origin() -> http::Uri {
    http::Uri::from_static("http://localhost")
}
