//! Sockets: one task per connection, HTTP/1.1 in the clear, HTTP/1.1 or HTTP/2 over TLS.

use std::io;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Origin;
use super::reply::Reply;
use super::route;
use super::state::State;

/// Keys of a certificate for `localhost` and 127.0.0.1, trusted by nobody but tests.
const CERTIFICATE: &str = include_str!("../tls/server.pem");
const KEY: &str = include_str!("../tls/server.key");

pub(super) fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(super) async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    origin: Origin,
    state: Arc<State>,
) {
    // Connections end with the listener: a dropped registry answers nobody.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), state.clone());
        connections.spawn(async move {
            let Some(tls) = tls else {
                return http1(TokioIo::new(stream), origin, state).await;
            };
            let Ok(stream) = tls.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                http2(TokioIo::new(stream), origin, state).await;
            } else {
                http1(TokioIo::new(stream), origin, state).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn http1<I>(io: I, origin: Origin, state: Arc<State>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(move |request| answer(request, origin, state.clone()));
    // An error here is a connection that a fault or the client closed.
    let _closed = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
}

async fn http2<I>(io: I, origin: Origin, state: Arc<State>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(move |request| answer(request, origin, state.clone()));
    let _closed =
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
}

/// An error makes hyper close the connection without an answer: how a dropped request looks.
async fn answer(request: http::Request<Incoming>, origin: Origin, state: Arc<State>) -> io::Result<Reply> {
    route::answer(request, origin, &state).await
}
