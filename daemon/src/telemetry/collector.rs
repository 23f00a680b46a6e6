//! Traces on their way out: to the collector that OpenTelemetry's usual variables name.
//!
//! | variable | means |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT` | `http://HOST:PORT`, gRPC |
//! | `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, else `OTEL_EXPORTER_OTLP_PROTOCOL` | `grpc`, or nothing is sent |
//! | `OTEL_TRACES_EXPORTER=none`, `OTEL_SDK_DISABLED=true` | nothing is sent |
//! | `OTEL_SERVICE_NAME` | who we are; `buildkitd` if unset, as the reference's traces are found |
//!
//! A collector that is slow or away costs spans, never builds: what waits is bounded, and the rest is
//! dropped. What clients hand in (`TraceService.Export`) goes the same way, as it came.

use std::time::Duration;

use slipway_proto::otlp::collector::trace_service_client::TraceServiceClient;
use slipway_proto::otlp::collector::trace_service_server::TraceService;
use slipway_proto::otlp::collector::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use slipway_proto::otlp::common::{AnyValue, KeyValue, any_value};
use slipway_proto::otlp::resource::Resource;
use slipway_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// Messages that wait for the collector.
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// By this name the reference's traces are found.
pub(super) const SERVICE: &str = "buildkitd";
/// Spans in one message.
const BATCH: usize = 512;

#[derive(Clone)]
pub(crate) struct Collector {
    outgoing: mpsc::Sender<ExportTraceServiceRequest>,
    service: String,
}

impl Collector {
    /// `None` if the environment names none, or one that we do not speak to. Inside the runtime.
    pub(crate) fn from_environment() -> Option<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let of_traces = |name: &str| {
            set(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let address = of_traces("ENDPOINT")?;
        let is_off = set("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none")
            || set("OTEL_SDK_DISABLED").is_some_and(|disabled| disabled.eq_ignore_ascii_case("true"));
        if is_off {
            return None;
        }
        if let Some(protocol) = of_traces("PROTOCOL").filter(|protocol| protocol != "grpc") {
            tracing::warn!(%protocol, "traces are not sent: OTEL_EXPORTER_OTLP_PROTOCOL must be grpc");
            return None;
        }
        match endpoint(&address) {
            Ok(channel) => Some(Self::start(channel, set("OTEL_SERVICE_NAME"))),
            Err(reason) => {
                tracing::warn!(%reason, "traces are not sent: OTEL_EXPORTER_OTLP_ENDPOINT must be http://HOST:PORT");
                None
            }
        }
    }

    fn start(channel: Channel, service: Option<String>) -> Self {
        let (outgoing, waiting) = mpsc::channel(WAITING);
        tokio::spawn(send(channel, waiting));
        Self { outgoing, service: service.unwrap_or_else(|| SERVICE.into()) }
    }

    /// Our own spans.
    pub(super) fn tell(&self, spans: Vec<Span>) {
        let mut spans = spans.into_iter();
        loop {
            let batch: Vec<Span> = spans.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            let scope_spans = vec![ScopeSpans { spans: batch, ..ScopeSpans::default() }];
            let resource =
                Resource { attributes: vec![text("service.name", &self.service)], ..Resource::default() };
            let resource_spans =
                ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
            self.hand_on(ExportTraceServiceRequest { resource_spans: vec![resource_spans] });
        }
    }

    fn hand_on(&self, request: ExportTraceServiceRequest) {
        if self.outgoing.try_send(request).is_err() {
            tracing::debug!("traces are dropped: the collector is too slow");
        }
    }
}

fn endpoint(address: &str) -> Result<Channel, String> {
    if !address.starts_with("http://") {
        return Err(format!("{address} is no http:// address"));
    }
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())?;
    Ok(endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy())
}

async fn send(channel: Channel, mut waiting: mpsc::Receiver<ExportTraceServiceRequest>) {
    let mut collector = TraceServiceClient::new(channel);
    while let Some(request) = waiting.recv().await {
        if let Err(status) = collector.export(request).await {
            tracing::debug!(code = ?status.code(), "the collector of traces does not take them");
        }
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

pub(super) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// Takes the spans of clients and steps. Without a collector they are taken and dropped: who hands them in
/// need not know.
pub(crate) struct Traces(pub Option<Collector>);

#[async_trait::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if let Some(collector) = &self.0 {
            collector.hand_on(request.into_inner());
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
