//! SSH agents that were named on the command line.
//!
//! A build may ask them for their keys and for signatures, and nothing else, unless the socket is offered raw: then
//! it need not be an agent at all.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use slipway_proto::ssh::ssh_server::Ssh;
use slipway_proto::ssh::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::agent::{ID, PIECE, REFUSED, is_allowed, take_message};

/// One socket that builds may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub socket: PathBuf,
    /// Pass everything on as it is.
    pub raw: bool,
}

/// By id.
pub(super) struct Agents(pub HashMap<String, Agent>);

type Answers = mpsc::Sender<Result<BytesMessage, Status>>;

impl Agents {
    fn find(&self, id: &str) -> Result<&Agent, Status> {
        let id = if id.is_empty() { "default" } else { id };
        self.0.get(id).ok_or_else(|| Status::internal(format!("unset ssh forward key {id}")))
    }
}

#[async_trait::async_trait]
impl Ssh for Agents {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.find(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let Agent { socket, raw } = self.find(id)?.clone();
        let connected = UnixStream::connect(&socket).await.map_err(|error| lost(&socket, &error))?;
        let (answers, answered) = mpsc::channel(4);
        let asked = request.into_inner();
        tokio::spawn(async move {
            let (reading, writing) = connected.into_split();
            let ended = if raw {
                pass_on(asked, reading, writing, &answers).await
            } else {
                mediate(asked, reading, writing, &answers).await
            };
            if let Err(error) = ended {
                // The other end may be gone, too.
                let _ = answers.send(Err(lost(&socket, &error))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answered).boxed()))
    }
}

fn lost(socket: &Path, error: &io::Error) -> Status {
    Status::unavailable(format!("cannot use the SSH agent at {}: {error}", socket.display()))
}

async fn pass_on(
    mut asked: Streaming<BytesMessage>,
    mut reading: OwnedReadHalf,
    mut writing: OwnedWriteHalf,
    answers: &Answers,
) -> io::Result<()> {
    let asking = async move {
        while let Some(message) = asked.message().await.map_err(io::Error::other)? {
            writing.write_all(&message.data).await?;
        }
        writing.shutdown().await
    };
    let answering = async move {
        let mut piece = vec![0; PIECE];
        while let length @ 1.. = reading.read(&mut piece).await? {
            if !answer(answers, piece[..length].to_vec()).await {
                break;
            }
        }
        Ok(())
    };
    tokio::pin!(answering);
    tokio::select! {
        ended = &mut answering => return ended,
        asked = asking => asked?,
    }
    answering.await
}

/// One request after the other, each answered before the next is read.
async fn mediate(
    mut asked: Streaming<BytesMessage>,
    mut reading: OwnedReadHalf,
    mut writing: OwnedWriteHalf,
    answers: &Answers,
) -> io::Result<()> {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    while let Some(message) = asked.message().await.map_err(io::Error::other)? {
        requests.extend_from_slice(&message.data);
        while let Some(request) = take_message(&mut requests).map_err(io::Error::other)? {
            let reply = if is_allowed(&request) {
                writing.write_all(&request).await?;
                reply(&mut reading, &mut replies).await?
            } else {
                REFUSED.to_vec()
            };
            if !answer(answers, reply).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn reply(reading: &mut OwnedReadHalf, replies: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    loop {
        if let Some(reply) = take_message(replies).map_err(io::Error::other)? {
            return Ok(reply);
        }
        if reading.read_buf(replies).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether anybody still listens.
async fn answer(answers: &Answers, data: Vec<u8>) -> bool {
    answers.send(Ok(BytesMessage { data: data.into() })).await.is_ok()
}
