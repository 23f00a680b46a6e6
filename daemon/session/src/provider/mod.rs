//! The client's side: what a build client offers to the daemon.
//!
//! Nothing is offered unless it was added: a daemon can read only the directories, secrets and
//! outputs named here, each under its own name.

mod agent;
mod auth;
mod content;
mod files;
mod health;
mod ingest;
mod lock;
mod output;
mod secrets;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use slipway_model::Redacted;
use slipway_proto::content::content_server::ContentServer;
use slipway_proto::control::control_client::ControlClient;
use slipway_proto::explain::lock_server::LockServer;
use slipway_proto::filesync::auth_server::AuthServer;
use slipway_proto::filesync::file_sync_server::FileSyncServer;
use slipway_proto::health::health_server::HealthServer;
use slipway_proto::secrets::secrets_server::SecretsServer;
use slipway_proto::ssh::ssh_server::SshServer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Server};

pub use self::agent::Agent;
pub use self::content::Layout;
pub use self::lock::{LockOffer, LockedSources};
use crate::caller::Credential;
use crate::{Error, LARGEST_MESSAGE, Result, SessionStream};

/// What the daemon may call, as told when the session is opened.
const METHODS: [&str; 10] = [
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.FileSend/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
    "/grpc.health.v1.Health/Check",
];

/// The same for a build that has a lock.
const LOCK_METHODS: [&str; 2] = ["/slipway.v1.Lock/Read", "/slipway.v1.Lock/Write"];

/// Where registry credentials come from.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    async fn credential(&self, host: &str) -> Result<Option<Credential>>;
}

/// Opens the file of an exporter; it is given what the exporter says about it.
pub type OpenFile =
    Box<dyn Fn(&BTreeMap<String, String>) -> std::io::Result<Box<dyn Write + Send>> + Send + Sync>;

/// Where an exporter's result goes.
pub enum Output {
    File(OpenFile),
    /// Files are added to the directory and belong to the current user.
    Directory(PathBuf),
    /// The same, and what else is in the directory is removed.
    Mirror(PathBuf),
}

/// One build's offers.
pub struct Provider {
    pub id: String,
    pub shared_key: String,
    pub directories: HashMap<String, PathBuf>,
    pub outputs: HashMap<usize, Output>,
    /// OCI layouts by the name of their store.
    pub layouts: HashMap<String, Layout>,
    pub secrets: HashMap<String, Redacted<Vec<u8>>>,
    /// SSH agents by id.
    pub agents: HashMap<String, Agent>,
    pub credentials: Arc<dyn CredentialSource>,
    /// What sources may come to.
    pub lock: Option<Arc<LockOffer>>,
}

impl Provider {
    /// Opens the session; the future serves it until the connection ends or it is dropped.
    pub async fn attach(self, channel: Channel) -> Result<impl Future<Output = Result<()>> + Send> {
        let mut control = ControlClient::new(channel)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let (outgoing, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        self.introduce(request.metadata_mut())?;
        // The daemon answers the call only once bytes flow; HTTP/2 starts with the daemon's preface.
        let opening = async move { control.session(request).await };
        Ok(async move {
            let incoming = opening.await.map_err(|status| Error::call("the session", status))?.into_inner();
            // The server gives its connection to a task of its own, which must end with this future.
            let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
            let _stop = stop.clone().drop_guard();
            let stream = SessionStream::client(incoming, outgoing, stop, ended.clone().drop_guard());
            self.serve(stream, ended).await
        })
    }

    fn introduce(&self, metadata: &mut MetadataMap) -> Result<()> {
        let value = |text: &str| {
            AsciiMetadataValue::try_from(text).map_err(|_| Error::Protocol("invalid session name".into()))
        };
        metadata.insert("x-docker-expose-session-uuid", value(&self.id)?);
        metadata.insert("x-docker-expose-session-name", value("slipway")?);
        metadata.insert("x-docker-expose-session-sharedkey", value(&self.shared_key)?);
        let lock = self.lock.iter().flat_map(|_| LOCK_METHODS);
        for method in METHODS.into_iter().chain(lock) {
            metadata.append("x-docker-expose-session-grpc-method", AsciiMetadataValue::from_static(method));
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: SessionStream<slipway_proto::control::BytesMessage>,
        ended: CancellationToken,
    ) -> Result<()> {
        let files = FileSyncServer::new(files::Files(self.directories));
        let layouts =
            ContentServer::new(content::Layouts(self.layouts)).max_decoding_message_size(LARGEST_MESSAGE);
        let secrets = SecretsServer::new(secrets::SecretStore(self.secrets));
        let agents = SshServer::new(agent::Agents(self.agents));
        let auth = AuthServer::new(auth::Auth(self.credentials));
        let lock = self.lock.map(|offer| LockServer::new(lock::Offered(offer)));
        Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(1 << 20)
            .add_service(files.max_decoding_message_size(LARGEST_MESSAGE))
            .add_service(output::FileSend(Arc::new(self.outputs)))
            .add_service(layouts)
            .add_service(secrets)
            .add_service(agents)
            .add_service(auth)
            .add_optional_service(lock)
            .add_service(HealthServer::new(health::Serving))
            .serve_with_incoming(only(stream, ended))
            .await
            .map_err(|error| Error::Connection(error.to_string()))
    }
}

/// One connection; no more come, and none is waited for once it has ended.
fn only<T>(connection: T, ended: CancellationToken) -> impl futures::Stream<Item = std::io::Result<T>> {
    let end = futures::stream::once(ended.cancelled_owned()).filter_map(|()| async { None });
    futures::stream::iter([Ok(connection)]).chain(end)
}
