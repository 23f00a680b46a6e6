//! Sockets, and who is connected.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::Mode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tonic::transport::server::Connected;

use crate::{Error, Result};

/// The first descriptor that service managers hand on.
const FIRST_INHERITED: i32 = 3;

/// One place to listen on. A unix socket's file is removed when this is dropped.
pub(crate) enum Listener {
    /// `path` is ours to remove; an inherited socket has none.
    Unix {
        listener: UnixListener,
        path: Option<PathBuf>,
    },
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) async fn bind(address: &str) -> Result<Self> {
        let failed = |reason: String| Error::Listen { address: address.to_owned(), reason };
        if let Some(path) = address.strip_prefix("unix://") {
            return Self::bind_unix(Path::new(path)).map_err(|error| failed(error.to_string()));
        }
        if let Some(authority) = address.strip_prefix("tcp://") {
            let listener = TcpListener::bind(authority).await.map_err(|error| failed(error.to_string()))?;
            return Ok(Self::Tcp(listener));
        }
        if let Some(number) = address.strip_prefix("fd://") {
            return Self::inherited(number).map_err(failed);
        }
        Err(failed("use unix://PATH, tcp://HOST:PORT or fd://".into()))
    }

    /// A socket that a service manager opened: descriptor 3, or the one that is named.
    fn inherited(number: &str) -> std::result::Result<Self, String> {
        let number: i32 = match number {
            "" => FIRST_INHERITED,
            number => number.parse().map_err(|_| "it is not a number".to_owned())?,
        };
        if number < FIRST_INHERITED {
            return Err("inherited sockets begin at descriptor 3".into());
        }
        // SAFETY: the descriptor was handed to this process to be served; nothing else here knows it.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // A copy is taken, so that a number that is no descriptor is an error and nothing is closed twice.
        let socket = descriptor.try_clone_to_owned().map_err(|error| error.to_string())?;
        let local = rustix::net::getsockname(&socket).map_err(|error| error.to_string())?;
        let set_up = |error: io::Error| error.to_string();
        if local.address_family() == rustix::net::AddressFamily::UNIX {
            let listener = std::os::unix::net::UnixListener::from(socket);
            listener.set_nonblocking(true).map_err(set_up)?;
            let listener = UnixListener::from_std(listener).map_err(set_up)?;
            return Ok(Self::Unix { listener, path: None });
        }
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true).map_err(set_up)?;
        Ok(Self::Tcp(TcpListener::from_std(listener).map_err(set_up)?))
    }

    /// The socket appears under its name only when it listens and nobody else may connect.
    fn bind_unix(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        rustix::fs::chmod(&new, Mode::RUSR | Mode::WUSR)?;
        std::fs::rename(&new, path)?;
        Ok(Self::Unix { listener, path: Some(path.to_owned()) })
    }

    pub(crate) async fn accept(&self, clients: &Arc<Clients>) -> io::Result<Connection> {
        let stream = match self {
            Self::Unix { listener, .. } => Stream::Unix(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        Ok(Connection { stream, _present: clients.enter() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path: Some(path), .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// How many connections are open.
pub(crate) struct Clients(watch::Sender<usize>);

impl Clients {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::channel(0).0))
    }

    fn enter(self: &Arc<Self>) -> Present {
        self.0.send_modify(|count| *count += 1);
        Present(self.clone())
    }

    /// Returns when nobody has been connected for `pause`.
    pub(crate) async fn idle(&self, pause: std::time::Duration) {
        let mut count = self.0.subscribe();
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

struct Present(Arc<Clients>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// An accepted connection.
pub(crate) struct Connection {
    stream: Stream,
    _present: Present,
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
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
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
