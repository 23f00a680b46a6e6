//! A client that is a frontend itself: one build, and the service that frontends ask.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{SolveRequest, SolveResponse};
use slipway_proto::gateway as wire;
use slipway_proto::gateway::exec_message::Input;
use slipway_proto::gateway::llb_bridge_client::LlbBridgeClient;
use slipway_proto::pb;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::Daemon;

/// What hangs fails.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a process may say nothing while something is waited for.
const SILENCE: Duration = Duration::from_secs(20);

type Client = LlbBridgeClient<InterceptedService<Channel, NamesBuild>>;

/// Says which build each call belongs to.
#[derive(Clone)]
pub struct NamesBuild(String);

impl Interceptor for NamesBuild {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let id = self.0.parse().map_err(|_| Status::invalid_argument("the id of the build"))?;
        request.metadata_mut().insert("buildkit-controlapi-buildid", id);
        Ok(request)
    }
}

/// A build without a session, whose frontend is this.
pub struct Guest {
    pub client: Client,
    solving: JoinHandle<Result<SolveResponse, Status>>,
}

/// What became of a process.
#[derive(Debug, Default, PartialEq)]
pub struct Ended {
    pub code: u32,
    pub message: String,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `test` as the frontend of a build named `id` that asks for `entitlements`.
pub fn run<F: Future<Output = Result<()>>>(
    daemon: &Daemon,
    id: &str,
    entitlements: &[&str],
    test: impl FnOnce(Guest) -> F,
) {
    let runtime = Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(async {
        let guest = Guest::start(daemon, id, entitlements).await?;
        tokio::time::timeout(LONGEST, test(guest)).await.context("it takes too long")?
    });
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

impl Guest {
    async fn start(daemon: &Daemon, id: &str, entitlements: &[&str]) -> Result<Self> {
        let socket = daemon.socket();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await?;
        let request = SolveRequest {
            r#ref: id.to_owned(),
            entitlements: entitlements.iter().map(|name| (*name).to_owned()).collect(),
            ..SolveRequest::default()
        };
        let mut control = ControlClient::new(channel.clone());
        let solving = tokio::spawn(async move { Ok(control.solve(request).await?.into_inner()) });
        let client = LlbBridgeClient::with_interceptor(channel, NamesBuild(id.to_owned()));
        Ok(Self { client, solving })
    }

    /// The name of the graph that is one image.
    pub async fn image(&mut self, name: &str) -> Result<String> {
        let source = pb::SourceOp { identifier: format!("docker-image://{name}"), ..pb::SourceOp::default() };
        self.solve(&[pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }]).await
    }

    /// The name of the graph in which each operation is the only input of the next.
    pub async fn solve(&mut self, chain: &[pb::Op]) -> Result<String> {
        self.solve_graph(definition(chain)).await
    }

    /// The name of the result of a graph.
    pub async fn solve_graph(&mut self, definition: pb::Definition) -> Result<String> {
        let request = wire::SolveRequest {
            definition: Some(definition),
            allow_result_return: true,
            allow_result_array_ref: true,
            ..wire::SolveRequest::default()
        };
        match self.client.solve(request).await?.into_inner().result.and_then(|result| result.result) {
            Some(wire::result::Result::Ref(reference)) => Ok(reference.id),
            other => bail!("no single reference but {other:?}"),
        }
    }

    /// A container on the tree `root`.
    pub async fn container(&mut self, name: &str, root: &str) -> Result<(), Status> {
        let mounts = vec![pb::Mount { dest: "/".into(), result_id: root.into(), ..pb::Mount::default() }];
        self.container_with(wire::NewContainerRequest {
            container_id: name.into(),
            mounts,
            ..wire::NewContainerRequest::default()
        })
        .await
    }

    pub async fn container_with(&mut self, request: wire::NewContainerRequest) -> Result<(), Status> {
        self.client.new_container(request).await.map(drop)
    }

    pub async fn release(&mut self, name: &str) -> Result<(), Status> {
        let request = wire::ReleaseContainerRequest { container_id: name.into() };
        self.client.release_container(request).await.map(drop)
    }

    /// Opens a stream for processes.
    pub async fn exec(&mut self) -> Result<Exec> {
        let (sender, messages) = mpsc::channel(16);
        // The answer begins with the first message only.
        let opening = self.client.exec_process(ReceiverStream::new(messages));
        let receiver = opening.await?.into_inner();
        Ok(Exec { sender, receiver })
    }

    /// Hands in an empty result.
    pub async fn finish(self) -> Result<SolveResponse> {
        self.finish_with(BTreeMap::new()).await
    }

    /// Hands in a result that is nothing but facts.
    pub async fn finish_with(mut self, metadata: BTreeMap<String, Bytes>) -> Result<SolveResponse> {
        let result = Some(wire::Result { metadata, ..wire::Result::default() });
        self.client.r#return(wire::ReturnRequest { result, error: None }).await?;
        Ok(self.solving.await??)
    }

    /// Hangs up in the middle.
    pub fn abandon(self) {
        self.solving.abort();
    }
}

/// Processes over one stream.
pub struct Exec {
    sender: mpsc::Sender<wire::ExecMessage>,
    receiver: Streaming<wire::ExecMessage>,
}

impl Exec {
    /// Asks for a process without a terminal.
    pub async fn start(&self, process: &str, container: &str, args: &[&str]) -> Result<()> {
        let meta =
            pb::Meta { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..pb::Meta::default() };
        self.init(
            process,
            wire::InitMessage {
                container_id: container.into(),
                meta: Some(meta),
                fds: vec![0, 1, 2],
                ..wire::InitMessage::default()
            },
        )
        .await
    }

    pub async fn init(&self, process: &str, init: wire::InitMessage) -> Result<()> {
        self.say(process, Input::Init(init)).await
    }

    pub async fn say(&self, process: &str, input: Input) -> Result<()> {
        let message = wire::ExecMessage { process_id: process.into(), input: Some(input) };
        self.sender.send(message).await.context("the stream has ended")
    }

    pub async fn write(&self, process: &str, data: &str) -> Result<()> {
        let data = data.as_bytes().to_vec().into();
        self.say(process, Input::File(wire::FdMessage { fd: 0, eof: false, data })).await
    }

    pub async fn close_input(&self, process: &str) -> Result<()> {
        let file = wire::FdMessage { fd: 0, eof: true, ..wire::FdMessage::default() };
        self.say(process, Input::File(file)).await
    }

    pub async fn next(&mut self) -> Result<wire::ExecMessage> {
        self.receiver.message().await?.context("the stream has ended")
    }

    /// Until `process` has started.
    pub async fn started(&mut self, process: &str) -> Result<()> {
        loop {
            let message = self.next().await?;
            if message.process_id == process && matches!(message.input, Some(Input::Started(_))) {
                return Ok(());
            }
        }
    }

    /// Until the output of `process` holds `text`.
    pub async fn wait_for(&mut self, process: &str, text: &str) -> Result<()> {
        let mut seen = String::new();
        while !seen.contains(text) {
            let next = tokio::time::timeout(SILENCE, self.next()).await;
            let message = next.with_context(|| format!("no {text:?} in {seen:?}"))??;
            match message.input {
                Some(Input::File(file)) if message.process_id == process => {
                    seen.push_str(&String::from_utf8_lossy(&file.data));
                }
                Some(Input::Exit(_)) if message.process_id == process => bail!("it ended: {seen}"),
                _ => {}
            }
        }
        Ok(())
    }

    /// To the end of `process`.
    pub async fn ended(&mut self, process: &str) -> Result<Ended> {
        let mut ended = Ended::default();
        loop {
            let message = self.next().await?;
            if message.process_id != process {
                continue;
            }
            match message.input {
                Some(Input::File(file)) => {
                    let stream = if file.fd == 2 { &mut ended.stderr } else { &mut ended.stdout };
                    stream.push_str(&String::from_utf8_lossy(&file.data));
                }
                Some(Input::Exit(exit)) => {
                    ended.code = exit.code;
                    ended.message = exit.error.map(|error| error.message).unwrap_or_default();
                }
                Some(Input::Done(_)) => return Ok(ended),
                _ => {}
            }
        }
    }

    /// Why the stream was ended.
    pub async fn refused(&mut self) -> Status {
        loop {
            match self.receiver.message().await {
                Err(status) => return status,
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the stream ended well"),
            }
        }
    }
}

/// A graph in which each operation is the only input of the next.
pub fn definition(chain: &[pb::Op]) -> pb::Definition {
    use slipway_model::llb::{Graph, Node};
    let mut graph = Graph::new();
    let mut last = None;
    for op in chain {
        let inputs = last.into_iter().collect();
        last = Some(graph.add(Node { op: op.clone(), inputs, ..Node::default() }).output());
    }
    graph.definition(last, &[])
}
