//! An in-memory registry (OCI distribution-spec 1.1) on real sockets.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what a test chooses at the start |
//! | `state` | blobs, manifests, tags, uploads, tokens |
//! | `image` | whole images to pull |
//! | `serve` | sockets, TLS, one connection after another |
//! | `route` | which endpoint a request is for, and whether it may |
//! | `blobs`, `manifests`, `uploads`, `token` | the endpoints |
//! | `fault` | what goes wrong on purpose |
//! | `log` | what was asked |
//!
//! Absent on purpose: deletion, garbage collection, anything on disk.

mod blobs;
mod fault;
mod image;
mod log;
mod manifests;
mod options;
mod reply;
mod route;
mod serve;
mod state;
mod token;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use slipway_model::Digest;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use fault::{Fault, FaultKind};
pub use image::{PushedImage, gzip, layer_tar};
pub use log::{Logged, Origin};
pub use options::{Auth, Options};

/// The authority that signed the certificate of a fake started with [`Options::tls`].
pub const CERTIFICATE_AUTHORITY: &str = include_str!("../tls/ca.pem");

/// A registry that lives until it is dropped.
pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<state::State>,
    servers: Vec<JoinHandle<()>>,
}

impl FakeRegistry {
    /// Listens on a free port of 127.0.0.1 (and on a second one, the storage that blobs redirect to).
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let registry = TcpListener::bind("127.0.0.1:0").await?;
        let storage = TcpListener::bind("127.0.0.1:0").await?;
        let address = registry.local_addr()?;
        let tls = options.tls.then(serve::acceptor).transpose()?;
        let state = Arc::new(state::State::new(options, address, storage.local_addr()?));
        let servers = vec![
            tokio::spawn(serve::listen(registry, tls, Origin::Registry, state.clone())),
            tokio::spawn(serve::listen(storage, None, Origin::Storage, state.clone())),
        ];
        Ok(Self { address, state, servers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:PORT`: the domain of a reference to it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Goes wrong from now on, as told; faults are tried in the order they were added.
    pub fn fail(&self, fault: Fault) {
        self.state.faults.lock().push(fault);
    }

    /// What has not gone wrong yet will not.
    pub fn clear_faults(&self) {
        self.state.faults.lock().clear();
    }

    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Digest {
        self.state.put_blob(repository, bytes.into())
    }

    /// What was uploaded or put there; `None` if `repository` does not hold it.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.state.blob(repository, digest)
    }

    /// `name` is a tag or a digest; the digest always works.
    pub fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        self.state.put_manifest(repository, name, media_type, bytes.into())
    }

    /// Media type and bytes.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<(String, Bytes)> {
        self.state.manifest(repository, name).map(|manifest| (manifest.media_type, manifest.bytes))
    }

    /// Every token handed out so far stops working.
    pub fn revoke_tokens(&self) {
        self.state.tokens.lock().clear();
    }

    /// Upload sessions that were begun and neither finished nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.state.uploads.lock().len()
    }

    pub fn log(&self) -> Vec<Logged> {
        self.state.log.lock().clone()
    }

    pub fn clear_log(&self) {
        self.state.log.lock().clear();
    }

    /// How many requests so far had this method and a path that holds `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.state.log.lock().iter().filter(|l| l.method == method && l.path.contains(part)).count()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}
