//! `ExecProcess`: processes in the containers of a frontend, all over one stream.
//!
//! ```text
//! frontend                      builder
//!   Init(process, container) ->
//!                            <-   Started
//!   File(0) Resize Signal    -> <-   File(1) File(2)
//!                            <-   File(1, end) File(2, end) Exit Done
//! ```
//! A process belongs to its container: when the stream ends, it runs on, and what it says is dropped.
//!
//! A process that joins a running container is told to have started before it has: a frontend that makes a pipe of
//! two processes reads the output of the one only when it has heard of the other, and nothing else until then.

use futures::Stream;
use futures::future::{BoxFuture, FutureExt as _, ready};
use slipway_proto::gateway::exec_message::Input;
use slipway_proto::gateway::{DoneMessage, ExecMessage, ExitMessage, FdMessage, InitMessage, StartedMessage};
use slipway_proto::rpc;
use slipway_run::{Exit, NotStarted};
use slipway_worker::container::{Ending, Process, ProcessRequest};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::Guest;
use super::signals;
use super::streams::{Streams, Writer};
use crate::build::failure::{self, Failure};

/// What is said when nobody knows how a process ended.
const UNKNOWN_EXIT: u32 = 255;
/// Processes of one stream.
const MOST: usize = 1000;

pub(super) type Sender = mpsc::Sender<Result<ExecMessage, Status>>;

pub(super) fn serve(
    guest: Guest,
    incoming: Streaming<ExecMessage>,
) -> impl Stream<Item = Result<ExecMessage, Status>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut processes = Processes { guest, sender: sender.clone(), known: HashMap::new() };
        if let Err(status) = processes.listen(incoming).await {
            // Nobody may be left to hear it.
            let _ = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// The processes of one stream, by the names that the frontend gave them.
struct Processes {
    guest: Guest,
    sender: Sender,
    known: HashMap<String, Known>,
}

struct Known {
    /// `None` until it runs.
    process: watch::Receiver<Option<Arc<Process>>>,
    writer: Writer,
}

impl Processes {
    async fn listen(&mut self, mut incoming: Streaming<ExecMessage>) -> Result<(), Status> {
        while let Some(message) = incoming.message().await? {
            let id = message.process_id;
            if id.is_empty() {
                return Err(Status::invalid_argument("ProcessID required"));
            }
            match message.input {
                Some(Input::Init(init)) => self.start(id, init).await?,
                Some(Input::File(file)) => self.find(&id)?.writer.write(file).await?,
                Some(Input::Resize(size)) => self.find(&id)?.writer.resize(size.rows, size.cols),
                Some(Input::Signal(signal)) => {
                    let number = signals::by_name(&signal.name)
                        .ok_or_else(|| Status::invalid_argument(format!("Unknown signal {}", signal.name)))?;
                    let mut process = self.find(&id)?.process.clone();
                    // One that never began hears no signals.
                    let process =
                        process.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
                    let sent = process.map_or(Ok(()), |process| process.signal(number));
                    sent.map_err(|error| Status::unknown(error.to_string()))?;
                }
                Some(Input::Started(_) | Input::Exit(_) | Input::Done(_)) | None => {
                    return Err(Status::invalid_argument("the message says nothing that a builder can do"));
                }
            }
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Result<&mut Known, Status> {
        self.known.get_mut(id).ok_or_else(|| Status::not_found(format!("IO for process {id:?} not found")))
    }

    async fn start(&mut self, id: String, init: InitMessage) -> Result<(), Status> {
        if self.known.contains_key(&id) {
            return Err(Status::already_exists(format!("Process {id} already exists")));
        }
        if self.known.len() >= MOST {
            return Err(Status::resource_exhausted(format!("a stream may start at most {MOST} processes")));
        }
        let container = self.guest.conversation.containers.get(&init.container_id)?;
        let Some(meta) = init.meta else {
            return Err(Status::invalid_argument(format!("process {id} has no Meta")));
        };
        let ended = CancellationToken::new();
        let (streams, io) = Streams::open(&init.fds, init.tty)?;
        let request = ProcessRequest {
            args: meta.args,
            env: meta.env,
            cwd: if meta.cwd.is_empty() { "/".into() } else { meta.cwd },
            user: meta.user,
            security: init.security,
            secret_env: init.secretenv,
            terminal: init.tty,
            remove_mount_stubs_recursive: meta.remove_mount_stubs_recursive,
        };
        let joins = container.is_running();
        let (begun, process) = watch::channel(None);
        let mut starting: BoxFuture<'static, slipway_worker::Result<Ending>> = async move {
            let (process, ending) = container.start(request, io).await?;
            begun.send_replace(Some(Arc::new(process)));
            Ok(ending)
        }
        .boxed();
        if !joins {
            let ending = starting.await.map_err(|error| Failure::from_worker(error).into_status())?;
            starting = ready(Ok(ending)).boxed();
        }
        let started = message(&id, Input::Started(StartedMessage {}));
        let _ = self.sender.send(Ok(started)).await;
        let (writer, readers) = streams.serve(&id, &self.sender, &ended);
        self.known.insert(id.clone(), Known { process, writer });
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let exit = exit_message(match starting.await {
                Ok(ending) => ending.wait().await,
                Err(error) => Err(error),
            });
            ended.cancel();
            // All that it said goes first.
            for reader in readers {
                let _ = reader.await;
            }
            let _ = sender.send(Ok(message(&id, Input::Exit(exit)))).await;
            let _ = sender.send(Ok(message(&id, Input::Done(DoneMessage {})))).await;
        });
        Ok(())
    }
}

pub(super) fn message(process: &str, input: Input) -> ExecMessage {
    ExecMessage { process_id: process.to_owned(), input: Some(input) }
}

pub(super) fn output(process: &str, fd: u32, data: bytes::Bytes) -> ExecMessage {
    let eof = data.is_empty();
    message(process, Input::File(FdMessage { fd, eof, data }))
}

fn exit_message(outcome: slipway_worker::Result<Exit>) -> ExitMessage {
    let exit = |code: i32, message: String| {
        let code = u32::try_from(code).unwrap_or(UNKNOWN_EXIT);
        let details = vec![failure::exit_detail(code)];
        ExitMessage { code, error: Some(rpc::Status { code: Code::Unknown.into(), message, details }) }
    };
    match outcome {
        Ok(ended) if ended.success() => ExitMessage::default(),
        Ok(ended) => exit(ended.code(), format!("exit code: {}", ended.code())),
        Err(slipway_worker::Error::Run(slipway_run::Error::NotStarted(NotStarted { message, code }))) => {
            exit(code, message)
        }
        // The words by which clients know that they ended it themselves.
        Err(slipway_worker::Error::Cancelled) => ExitMessage {
            code: UNKNOWN_EXIT,
            error: Some(rpc::Status {
                code: Code::Cancelled.into(),
                message: "context canceled".into(),
                details: Vec::new(),
            }),
        },
        Err(error) => {
            ExitMessage { code: UNKNOWN_EXIT, error: Some(Failure::from_worker(error).into_wire()) }
        }
    }
}
