//! Accepted connections, counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::telemetry::Metrics;

/// How many connections are open.
pub(crate) struct Clients {
    present: watch::Sender<usize>,
    metrics: Arc<Metrics>,
}

impl Clients {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { present: watch::channel(0).0, metrics })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Present {
        self.present.send_modify(|count| *count += 1);
        self.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Present(self.clone())
    }

    /// Returns when nobody has been connected for `pause`.
    pub(crate) async fn idle(&self, pause: Duration) {
        let mut count = self.present.subscribe();
        loop {
            if count.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            let came = count.wait_for(|count| *count > 0);
            if tokio::time::timeout(pause, came).await.is_err() {
                return;
            }
        }
    }
}

pub(super) struct Present(Arc<Clients>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.present.send_modify(|count| *count -= 1);
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An accepted connection.
pub(crate) struct Connection {
    stream: Stream,
    present: Present,
}

impl Connection {
    pub(super) fn new(stream: Stream, present: Present) -> Self {
        Self { stream, present }
    }
}

pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        self.present.0.metrics.bytes_in.add(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        if let Poll::Ready(Ok(length)) = &written {
            self.present.0.metrics.bytes_out.add(*length);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
