//! The life of a daemon: open, listen, serve, come down.

use std::sync::Arc;
use std::time::Duration;

use slipway_proto::control::control_server::ControlServer;
use slipway_proto::gateway::llb_bridge_server::LlbBridgeServer;
use slipway_proto::health::health_server::HealthServer;
use slipway_session::LARGEST_MESSAGE;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::bridge::Bridge;
use crate::control::{Control, Health};
use crate::engine::Engine;
use crate::listen::{Clients, Connection, Listener};
use crate::{Config, Error, Result, memory};

/// How long a daemon of commands waits for the next one.
const IDLE: Duration = Duration::from_secs(2);
/// How long builds may take to come down.
const COME_DOWN: Duration = Duration::from_secs(10);

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
    let clients = Clients::new();
    // The store's lock comes first: only its holder may take over the socket's name.
    let engine = Arc::new(Engine::open(&config)?);
    let connections = accept(&config, &clients).await?;
    let control = ControlServer::new(Control(engine.clone()));
    let bridge = LlbBridgeServer::new(Bridge::for_clients(engine.clone()));
    let serving = Server::builder()
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        .max_frame_size(1 << 20)
        .add_service(
            control.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(LARGEST_MESSAGE),
        )
        .add_service(
            bridge.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(LARGEST_MESSAGE),
        )
        .add_service(HealthServer::new(Health))
        .serve_with_incoming(ReceiverStream::new(connections));
    tracing::info!(addresses = ?config.listen, "ready");
    tokio::select! {
        served = serving => served.map_err(|error| Error::Serve(error.to_string()))?,
        stopped = stop_signal() => stopped?,
        () = clients.idle(IDLE), if config.exit_when_idle => tracing::info!("no clients: ending"),
    }
    engine.come_down(COME_DOWN).await
}

/// Listens everywhere; all connections come out of one channel.
async fn accept(
    config: &Config,
    clients: &Arc<Clients>,
) -> Result<mpsc::Receiver<std::io::Result<Connection>>> {
    let (accepted, connections) = mpsc::channel(64);
    for address in &config.listen {
        let listener = Listener::bind(address).await?;
        let (accepted, clients) = (accepted.clone(), clients.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = accepted.closed() => return,
                    connection = listener.accept(&clients) => match connection {
                        Ok(connection) => {
                            if accepted.send(Ok(connection)).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            // Out of descriptors, most likely: others must close some first.
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    },
                }
            }
        });
    }
    Ok(connections)
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
