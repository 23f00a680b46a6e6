//! The life of a daemon: open, listen, serve, come down.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slipway_proto::content::content_server::ContentServer;
use slipway_proto::control::control_server::ControlServer;
use slipway_proto::explain::explain_server::ExplainServer;
use slipway_proto::gateway::llb_bridge_server::LlbBridgeServer;
use slipway_proto::health::health_server::HealthServer;
use slipway_proto::otlp::collector::trace_service_server::TraceServiceServer;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::bridge::Bridge;
use crate::control::{Content, Control, Health};
use crate::engine::Engine;
use crate::explain::Explain;
use crate::history::History;
use crate::listen::{self, Clients};
use crate::telemetry::Traces;
use crate::{Config, Error, Result, memory, notify, telemetry};

/// How long a daemon of commands waits for the next one.
const IDLE: Duration = Duration::from_secs(2);
/// A listing of some hundred thousand records. Clients take 16 MiB unless they know better.
const LARGEST_LISTING: usize = 128 << 20;
/// How long builds may take to come down.
const COME_DOWN: Duration = Duration::from_secs(10);
/// How often old records of builds are looked for.
const HISTORY_PAUSE: Duration = Duration::from_secs(120);
/// When a daemon that nobody has asked for anything is taken to wait.
const SETTLED: Duration = Duration::from_millis(500);

/// A definition of 100,000 operations is larger than what the reference accepts.
const LARGEST_REQUEST: usize = 64 << 20;
/// Of all headers of one call together: names of session services, trace contexts.
const LARGEST_HEADERS: u32 = 1 << 20;

pub struct Daemon;

impl Daemon {
    /// Serves until a signal, or until nobody is there if so configured.
    pub fn run(config: Config) -> Result<()> {
        memory::use_few_arenas();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Serve(error.to_string()))?;
        let outcome = runtime.block_on(serve(config));
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    }
}

async fn serve(config: Config) -> Result<()> {
    // The store's lock comes first: only its holder may take over the socket's name.
    let engine = Arc::new(Engine::open(&config)?);
    let clients = Clients::new(engine.metrics.clone());
    if let Some(address) = &config.debug_address {
        tokio::spawn(telemetry::serve(address, engine.clone()).await?);
    }
    let connections = listen::accept(&config, &clients).await?;
    let collecting = tokio::spawn(engine.collector.clone().run(engine.store.clone()));
    let control = ControlServer::new(Control(engine.clone()));
    let content = ContentServer::new(Content(engine.clone()));
    let bridge = LlbBridgeServer::new(Bridge::for_clients(engine.clone()));
    let serving = Server::builder()
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        .max_frame_size(1 << 20)
        .http2_max_header_list_size(LARGEST_HEADERS)
        .add_service(
            control.max_decoding_message_size(LARGEST_REQUEST).max_encoding_message_size(LARGEST_LISTING),
        )
        .add_service(
            bridge.max_decoding_message_size(LARGEST_REQUEST).max_encoding_message_size(LARGEST_REQUEST),
        )
        .add_service(ExplainServer::new(Explain(engine.clone())).max_encoding_message_size(LARGEST_LISTING))
        .add_service(content)
        .add_service(TraceServiceServer::new(Traces(engine.traces.clone())))
        .add_service(HealthServer::new(Health))
        .serve_with_incoming(ReceiverStream::new(connections));
    let upkeep = tokio::spawn(keep_history_short(engine.history.clone()));
    tokio::spawn(settle(engine.clone()));
    if let Some(path) = &config.trace_socket {
        tokio::spawn(take_traces(path, &engine, &clients).await?);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(addresses = ?config.listen, "ready");
    notify::ready();
    tokio::select! {
        served = serving => served.map_err(|error| Error::Serve(error.to_string()))?,
        stopped = stop_signal() => stopped?,
        () = clients.idle(IDLE), if config.exit_when_idle => tracing::info!("no clients: ending"),
    }
    notify::stopping();
    upkeep.abort();
    let came_down = engine.come_down(COME_DOWN).await;
    // What it removes, it removes whole.
    let _ = tokio::time::timeout(COME_DOWN, collecting).await;
    came_down
}

/// What start-up needed is needed no more.
async fn settle(engine: Arc<Engine>) {
    tokio::time::sleep(SETTLED).await;
    if !engine.builds.are_running() {
        memory::give_back();
        memory::let_go_of_code();
    }
}

/// Records that are too many go once they are old enough, though nobody builds.
async fn keep_history_short(history: History) {
    let mut pause = tokio::time::interval(HISTORY_PAUSE);
    loop {
        pause.tick().await;
        let history = history.clone();
        let enforced = tokio::task::spawn_blocking(move || history.enforce_limits());
        if let Ok(Err(error)) = enforced.await {
            tracing::warn!(%error, "old records of builds are not removed");
        }
    }
}

/// A socket for traces and nothing else, for those who may not build.
async fn take_traces(
    path: &Path,
    engine: &Engine,
    clients: &Arc<Clients>,
) -> Result<impl Future<Output = ()> + use<>> {
    let config = Config { listen: vec![format!("unix://{}", path.display())], ..Config::default() };
    let connections = listen::accept(&config, clients).await?;
    let traces = TraceServiceServer::new(Traces(engine.traces.clone()));
    let serving = Server::builder().add_service(traces).serve_with_incoming(ReceiverStream::new(connections));
    Ok(async move {
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the socket for traces is closed");
        }
    })
}

async fn stop_signal() -> Result<()> {
    let listen = |kind| signal(kind).map_err(|error| Error::Serve(error.to_string()));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
