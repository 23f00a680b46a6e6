//! Sockets, and who is connected.
//!
//! | address | transport |
//! |---|---|
//! | `unix://PATH` | a socket of mode 0600, or 0660 if a group was named |
//! | `tcp://HOST:PORT` | TLS if certificates were given, else plain |
//! | `fd://`, `fd://N` | a socket that a service manager opened; TLS as above if it is TCP |
//!
//! A TLS handshake happens in a task of its own with a time limit: a client that stalls it holds up
//! nobody else.

mod connection;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Gid, Mode, Uid};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::config::SocketOwner;
use crate::{Config, Error, Result, tls};
use connection::Stream;
pub(crate) use connection::{Clients, Connection};

/// The first descriptor that service managers hand on.
const FIRST_INHERITED: i32 = 3;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that vanished without a word is noticed after three of these.
const PROBE: Duration = Duration::from_secs(20);

/// Listens everywhere; all connections come out of one channel.
pub(crate) async fn accept(
    config: &Config,
    clients: &Arc<Clients>,
) -> Result<mpsc::Receiver<io::Result<Connection>>> {
    let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let (accepted, connections) = mpsc::channel(64);
    for address in &config.listen {
        let listener = Listener::bind(address, config.socket_owner).await?;
        if listener.is_tcp() && acceptor.is_none() {
            tracing::warn!(%address, "TLS is not enabled: whoever reaches this address may build");
        }
        let server = Server { listener, acceptor: acceptor.clone(), clients: clients.clone() };
        tokio::spawn(server.run(accepted.clone()));
    }
    Ok(connections)
}

/// One listener, until nobody takes its connections any more.
struct Server {
    listener: Listener,
    acceptor: Option<TlsAcceptor>,
    clients: Arc<Clients>,
}

impl Server {
    async fn run(self, accepted: mpsc::Sender<io::Result<Connection>>) {
        loop {
            tokio::select! {
                () = accepted.closed() => return,
                stream = self.listener.accept_plain() => match stream {
                    Ok(stream) => self.greet(stream, accepted.clone()).await,
                    Err(error) => {
                        // Out of descriptors, most likely: others must close some first.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    async fn greet(&self, stream: PlainStream, accepted: mpsc::Sender<io::Result<Connection>>) {
        let present = self.clients.enter();
        match (stream, &self.acceptor) {
            (PlainStream::Tcp(stream), Some(acceptor)) => {
                let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
                tokio::spawn(async move {
                    match handshake.await {
                        Ok(Ok(stream)) => {
                            let stream = Stream::Tls(Box::new(stream));
                            let _ = accepted.send(Ok(Connection::new(stream, present))).await;
                        }
                        Ok(Err(error)) => tracing::warn!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::warn!("a TLS handshake took too long"),
                    }
                });
            }
            (stream, _) => {
                let stream = match stream {
                    PlainStream::Unix(stream) => Stream::Unix(stream),
                    PlainStream::Tcp(stream) => Stream::Tcp(stream),
                };
                let _ = accepted.send(Ok(Connection::new(stream, present))).await;
            }
        }
    }
}

/// What a listener accepts, before any TLS.
pub(crate) enum PlainStream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

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
    pub(crate) async fn bind(address: &str, owner: SocketOwner) -> Result<Self> {
        let failed = |reason: String| Error::Listen { address: address.to_owned(), reason };
        if let Some(path) = address.strip_prefix("unix://") {
            return Self::bind_unix(Path::new(path), owner).map_err(|error| failed(error.to_string()));
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

    fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// A socket that a service manager opened: descriptor 3, or the one that is named.
    fn inherited(number: &str) -> std::result::Result<Self, String> {
        let number: i32 = match number {
            "" | "*" => FIRST_INHERITED,
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
    fn bind_unix(path: &Path, owner: SocketOwner) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        let mut mode = Mode::RUSR | Mode::WUSR;
        if owner != SocketOwner::default() {
            rustix::fs::chown(&new, owner.user.map(Uid::from_raw), owner.group.map(Gid::from_raw))?;
        }
        if owner.group.is_some() {
            mode |= Mode::RGRP | Mode::WGRP;
        }
        rustix::fs::chmod(&new, mode)?;
        std::fs::rename(&new, path)?;
        Ok(Self::Unix { listener, path: Some(path.to_owned()) })
    }

    pub(crate) async fn accept_plain(&self) -> io::Result<PlainStream> {
        match self {
            Self::Unix { listener, .. } => Ok(PlainStream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                probe(&stream)?;
                Ok(PlainStream::Tcp(stream))
            }
        }
    }
}

/// The kernel asks whether the peer's machine is still there. A peer that merely stands still (a stopped
/// process, a full pipe) is left alone: its build is not taken from it.
fn probe(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE)?;
    sockopt::set_tcp_keepintvl(stream, PROBE)?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path: Some(path), .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}
