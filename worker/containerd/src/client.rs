//! One connection to one containerd, in one of its namespaces.
//!
//! The store blocks and knows no runtime, so the client has one of its own: a call from a thread that may block is
//! handed over and waited for ([`Client::wait`]), whatever runtime that thread belongs to. The connection is made
//! when it is first needed and again whenever it was lost.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use slipway_proto::containerd::introspection::introspection_client::IntrospectionClient;
use slipway_proto::containerd::introspection::{Plugin, PluginsRequest};
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::{Error, Result};

/// A call that takes longer has failed: a containerd that hangs must not hang builds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Of one message: lists of a namespace come whole.
pub(crate) const LARGEST_MESSAGE: usize = 256 << 20;
/// Blobs pass at full speed only if much of them may be under way.
const WINDOW: u32 = 8 << 20;

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    address: PathBuf,
    namespace: String,
    /// What keeps all that is made through this client.
    lease: String,
    headers: [(&'static str, MetadataValue<Ascii>); 2],
    channel: Channel,
    /// Something was let go of since the garbage was collected; at the start, by who was here before.
    garbage: AtomicBool,
    /// Always there; taken when it ends.
    runtime: Option<tokio::runtime::Runtime>,
}

/// What containerd says about itself.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub uuid: String,
    /// Of its runtimes, as it spells them: os, architecture, variant.
    pub platforms: Vec<(String, String, String)>,
    /// Where plugins keep their files, by type and name.
    pub(crate) plugins: Vec<Plugin>,
}

impl Client {
    /// `address` is the path of its socket, also with `unix://` before it. `lease` names what keeps what we make;
    /// it is the same for the same state directory. Nothing is asked yet.
    pub fn new(address: &str, namespace: &str, lease: &str) -> Result<Self> {
        let address = PathBuf::from(address.strip_prefix("unix://").unwrap_or(address));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("containerd")
            .enable_all()
            .build()
            .map_err(|source| Error::Client { source })?;
        let channel = {
            // What drives the connection belongs to this runtime.
            let _entered = runtime.enter();
            channel(address.clone())
        };
        let value = |text: &str| {
            text.parse::<MetadataValue<Ascii>>().map_err(|error| {
                let reason = format!("{text:?} is no name of a namespace or lease: {error}");
                Error::Client { source: std::io::Error::other(reason) }
            })
        };
        let headers = [("containerd-namespace", value(namespace)?), ("containerd-lease", value(lease)?)];
        let inner = Inner {
            address,
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            headers,
            channel,
            garbage: AtomicBool::new(true),
            runtime: Some(runtime),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn address(&self) -> &Path {
        &self.inner.address
    }

    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    pub(crate) fn namespace_header(&self) -> MetadataValue<Ascii> {
        let [(_, namespace), _] = &self.inner.headers;
        namespace.clone()
    }

    pub(crate) fn lease(&self) -> &str {
        &self.inner.lease
    }

    pub(crate) fn note_garbage(&self) {
        self.inner.garbage.store(true, Ordering::Release);
    }

    /// Whether there may be garbage; from here on there is none.
    pub(crate) fn take_garbage(&self) -> bool {
        self.inner.garbage.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn channel(&self) -> Channel {
        self.inner.channel.clone()
    }

    /// A request in our namespace. With the lease, what it makes is kept by it.
    pub(crate) fn request<T>(&self, message: T, leased: Leased) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let count = if leased == Leased::Yes { 2 } else { 1 };
        for (name, value) in self.inner.headers.iter().take(count) {
            request.metadata_mut().insert(*name, value.clone());
        }
        request
    }

    /// Waits, by blocking this thread, for work on the client's own runtime.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let runtime = self.inner.runtime.as_ref().ok_or(Error::Closed)?;
        runtime.spawn(async move {
            // Who asked is waiting.
            let _ = answer.send(work.await);
        });
        answered.recv().map_err(|_| Error::Closed)
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.inner.runtime {
            runtime.spawn(work);
        }
    }

    /// [`wait`](Self::wait) for one call; `action` says for what.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        action: impl Into<String>,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>> + Send + 'static,
    ) -> Result<T> {
        let action = action.into();
        self.wait(within(action, call))?
    }

    /// What it is, to be asked first: fails if it is not there.
    pub fn server(&self) -> Result<Server> {
        let mut client = IntrospectionClient::new(self.channel()).max_decoding_message_size(LARGEST_MESSAGE);
        let (one, two) = (self.request((), Leased::No), self.request(PluginsRequest::default(), Leased::No));
        let address = self.inner.address.clone();
        let asked = self.wait(within("say what it is".into(), async move {
            let server = client.server(one).await?.into_inner();
            let plugins = client.plugins(two).await?.into_inner();
            Ok(tonic::Response::new((server, plugins)))
        }))?;
        let (server, plugins) = asked.map_err(|error| match error {
            Error::Refused { status, .. } => {
                Error::Unreachable { address, reason: status.message().to_owned() }
            }
            other => other,
        })?;
        let runtimes =
            plugins.plugins.iter().filter(|plugin| plugin.r#type.starts_with("io.containerd.runtime."));
        let platforms = runtimes
            .flat_map(|plugin| &plugin.platforms)
            .map(|platform| (platform.os.clone(), platform.architecture.clone(), platform.variant.clone()))
            .collect();
        Ok(Server { uuid: server.uuid, platforms, plugins: plugins.plugins })
    }
}

impl Server {
    /// The names of the snapshotters that work.
    pub fn snapshotters(&self) -> Vec<&str> {
        let snapshotters =
            self.plugins.iter().filter(|plugin| plugin.r#type == "io.containerd.snapshotter.v1");
        snapshotters.filter(|plugin| plugin.init_err.is_none()).map(|plugin| plugin.id.as_str()).collect()
    }

    /// Where blobs lie, if they are files.
    pub(crate) fn content_root(&self) -> Option<PathBuf> {
        let content = self.plugins.iter().find(|plugin| plugin.r#type == "io.containerd.content.v1")?;
        content.exports.get("root").map(PathBuf::from)
    }
}

/// Whether what a call makes is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leased {
    Yes,
    No,
}

pub(crate) async fn within<T>(
    action: String,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Error::refused(action)(status)),
        Err(_) => Err(Error::Silent { action, seconds: PATIENCE.as_secs() }),
    }
}

fn channel(address: PathBuf) -> Channel {
    let connect = move |_| {
        let address = address.clone();
        async move { UnixStream::connect(address).await.map(TokioIo::new) }
    };
    // The name is of no use to a unix socket, but a request has one.
    Endpoint::from_static("http://containerd")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector_lazy(tower::service_fn(connect))
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for it is not allowed where it may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
