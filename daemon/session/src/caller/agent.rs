//! The client's SSH agents: sockets on this host whose every connection is one to an agent of the client.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use slipway_proto::ssh::ssh_client::SshClient;
use slipway_proto::ssh::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

use super::Session;
use super::connection::{SessionService, origin};
use crate::agent::{ID, PIECE};
use crate::{Error, LARGEST_MESSAGE, Result};

const CHECK: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// Who may connect to a socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketAccess {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A socket that leads to the client; it and its connections end when this is dropped.
pub struct AgentSocket {
    path: PathBuf,
    _accepting: AbortOnDropHandle<()>,
}

impl AgentSocket {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        // Nobody can use it any more; what is left is removed with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Session {
    /// Whether the client forwards the agent `id`; if not, the error says so in the client's words.
    pub async fn check_agent(&self, id: &str) -> Result<()> {
        let service = self.require(CHECK).map_err(|_| Error::NoAgent(id.to_owned()))?;
        let request = CheckAgentRequest { id: id.to_owned() };
        match client(service).check_agent(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::Unimplemented => Err(Error::NoAgent(id.to_owned())),
            Err(status) => Err(Error::call(format!("SSH agent {id}"), status)),
        }
    }

    /// A socket at `path`, which must be free, that leads to the client's agent `id`.
    pub fn agent_socket(&self, id: &str, path: &Path, access: SocketAccess) -> Result<AgentSocket> {
        let service = self.require(FORWARD).map_err(|_| Error::NoAgent(id.to_owned()))?;
        let name = AsciiMetadataValue::try_from(id)
            .map_err(|_| Error::Protocol(format!("an SSH agent cannot be called {id:?}")))?;
        let failed = |error: io::Error| Error::file("cannot make the socket", &path.to_string_lossy(), error);
        let listener = UnixListener::bind(path).map_err(failed)?;
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, service, name)));
        let socket = AgentSocket { path: path.to_owned(), _accepting: accepting };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(access.mode & 0o777))
            .map_err(failed)?;
        chown(path, Some(access.uid), Some(access.gid)).map_err(failed)?;
        Ok(socket)
    }
}

fn client(service: SessionService) -> SshClient<SessionService> {
    SshClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE)
}

async fn accept(listener: UnixListener, service: SessionService, id: AsciiMetadataValue) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (service, id) = (service.clone(), id.clone());
        connections.spawn(async move {
            if let Err(error) = forward(service, id, socket).await {
                tracing::debug!(%error, "a connection to an SSH agent has failed");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    service: SessionService,
    id: AsciiMetadataValue,
    socket: UnixStream,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut reading, mut writing) = socket.into_split();
    let (outgoing, messages) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(messages));
    request.metadata_mut().insert(ID, id);
    let asking = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = reading.read(&mut piece).await {
            let message = BytesMessage { data: piece[..length].to_vec().into() };
            if outgoing.send(message).await.is_err() {
                return;
            }
        }
    };
    let answering = async move {
        let mut answers = client(service).forward_agent(request).await?.into_inner();
        while let Some(message) = answers.message().await? {
            writing.write_all(&message.data).await?;
        }
        writing.shutdown().await?;
        Ok(())
    };
    tokio::pin!(answering);
    // When nothing more is asked, the last answer may still be on its way.
    tokio::select! {
        ended = &mut answering => return ended,
        () = asking => {}
    }
    answering.await
}
