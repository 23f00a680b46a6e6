//! The debug address: `/metrics`, `/healthz` (and `/debug/healthz`). Plain HTTP, for the machine's own network.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use slipway_solver::Phase;
use tokio::sync::Semaphore;

use super::metrics::{Held, Moment};
use crate::config::SocketOwner;
use crate::engine::Engine;
use crate::listen::{Listener, PlainStream};
use crate::{Error, Result};

const MOST_CONNECTIONS: usize = 32;
/// A request whose head takes longer is dropped.
const HEAD: Duration = Duration::from_secs(10);

/// Listens at `address` (`HOST:PORT`, `tcp://…` or `unix://…`); the future serves.
pub(crate) async fn serve(address: &str, engine: Arc<Engine>) -> Result<impl Future<Output = ()> + use<>> {
    let address = if address.contains("://") { address.to_owned() } else { format!("tcp://{address}") };
    let listener = Listener::bind(&address, SocketOwner::default()).await?;
    if address.starts_with("fd://") {
        return Err(Error::Listen {
            address,
            reason: "the debug address is HOST:PORT or unix://PATH".into(),
        });
    }
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    Ok(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok(stream) = listener.accept_plain().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let engine = engine.clone();
            tokio::spawn(async move {
                speak(stream, engine).await;
                drop(place);
            });
        }
    })
}

async fn speak(stream: PlainStream, engine: Arc<Engine>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let engine = engine.clone();
        async move { Ok::<_, Infallible>(answer(&request, &engine).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let served = match stream {
        PlainStream::Unix(stream) => http.serve_connection(TokioIo::new(stream), answer).await,
        PlainStream::Tcp(stream) => http.serve_connection(TokioIo::new(stream), answer).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the debug address broke");
    }
}

async fn answer(request: &Request<Incoming>, engine: &Arc<Engine>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".into());
    }
    match request.uri().path() {
        "/metrics" => match moment(engine).await {
            Ok(moment) => text(StatusCode::OK, engine.metrics.text(&moment)),
            Err(reason) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")),
        },
        "/healthz" | "/debug/healthz" => text(StatusCode::OK, "ok\n".into()),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

async fn moment(engine: &Arc<Engine>) -> std::result::Result<Moment, String> {
    let (queued, running) = engine.solver.queued_and_running();
    Ok(Moment {
        held: held(engine).await?,
        queued,
        running,
        solver: Phase::ALL.iter().map(|phase| (*phase, engine.solver.phase(*phase))).collect(),
        registry: [engine.traffic.received(), engine.traffic.sent()],
    })
}

/// What the store holds, by type.
async fn held(engine: &Arc<Engine>) -> std::result::Result<BTreeMap<String, Held>, String> {
    let store = engine.store.clone();
    let records = tokio::task::spawn_blocking(move || store.usage(&[]));
    let records = records.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    for record in records {
        let held = held.entry(record.record_type.to_string()).or_default();
        held.records += 1;
        held.bytes += record.size;
    }
    Ok(held)
}
