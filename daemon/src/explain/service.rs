//! `slipway.v1.Explain`: answers from what is kept, and what a build under way finds out.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use slipway_explain::{Build, Cause, Input, Step};
use slipway_proto::explain as wire;
use slipway_solver::with_causes;
use tonic::{Request, Response, Status};

use super::Explanations;
use crate::engine::Engine;

pub(crate) struct Explain(pub Arc<Engine>);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait::async_trait]
impl wire::explain_server::Explain for Explain {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::Step, Status>> + Send>>;

    async fn why(&self, request: Request<wire::WhyRequest>) -> Answer<wire::WhyResponse> {
        let explanations = self.0.explanations.clone();
        explanations.settled().await;
        let id = request.into_inner().build;
        blocking(move || why(&explanations, &id)).await.map(Response::new)
    }

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        let build = self.0.builds.watch(&request.into_inner().build).await?;
        let batches = futures::stream::unfold((build, 0), |(build, mut position)| async move {
            let steps = build.course.read(&mut position).await?;
            Some((steps, (build, position)))
        });
        let steps = batches.flat_map(futures::stream::iter);
        Ok(Response::new(Box::pin(steps.map(|step| Ok(wire_step(&step, &[], None))))))
    }

    async fn builds(&self, _: Request<wire::BuildsRequest>) -> Answer<wire::BuildsResponse> {
        let explanations = self.0.explanations.clone();
        explanations.settled().await;
        let entries = blocking(move || explanations.history.list().map_err(internal)).await?;
        let build = |entry: slipway_explain::history::Entry| wire::Build {
            r#ref: entry.id,
            started: entry.started,
            ended: entry.ended,
        };
        Ok(Response::new(wire::BuildsResponse { builds: entries.into_iter().map(build).collect() }))
    }
}

fn why(explanations: &Explanations, id: &str) -> Result<wire::WhyResponse, Status> {
    let found = explanations.history.build(id).map_err(internal)?;
    let build = found.ok_or_else(|| match id {
        "" => Status::not_found("no build is known: run one first"),
        id => Status::not_found(format!("build {id:?} is not known, or not any more")),
    })?;
    let steps = build.steps.iter().map(|step| {
        let record =
            step.record.map(|created| wire::Record { created, build: maker(explanations, step, created) });
        wire_step(step, &build.steps, record)
    });
    let steps = steps.collect();
    let Build { id, started, ended, .. } = build;
    Ok(wire::WhyResponse { build: Some(wire::Build { r#ref: id, started, ended }), steps })
}

/// Which build made a record; empty if it is not known any more.
fn maker(explanations: &Explanations, step: &Step, created: i64) -> String {
    explanations.history.maker(&step.keys, created).unwrap_or_default().unwrap_or_default()
}

/// `all` are the steps of its build, which inputs name.
fn wire_step(step: &Step, all: &[Step], record: Option<wire::Record>) -> wire::Step {
    let input = |input: &Input| wire::Input {
        vertex: all.get(input.step).map(|step| step.vertex.clone()).unwrap_or_default(),
        label: input.label.clone(),
        paths: input.paths.clone(),
        content: input.content.clone().unwrap_or_default(),
    };
    wire::Step {
        vertex: step.vertex.clone(),
        name: step.name.clone(),
        outcome: step.outcome.name().into(),
        operation: step.operation.clone(),
        keys: step.keys.clone(),
        inputs: step.inputs.iter().map(input).collect(),
        record,
        compared: step.compared.clone().unwrap_or_default(),
        causes: step.causes.iter().map(|cause| wire_cause(cause, &step.vertex)).collect(),
    }
}

fn wire_cause(cause: &Cause, explained: &str) -> wire::Cause {
    let file = |file: &slipway_explain::FileChange| wire::FileChange {
        path: file.path.clone(),
        what: file.what.clone(),
    };
    wire::Cause {
        kind: cause.kind.name().into(),
        vertex: cause.vertex.clone(),
        step: cause.step.clone(),
        what: cause.what.clone(),
        old: cause.old.clone(),
        new: cause.new.clone(),
        files: cause.files.iter().map(file).collect(),
        more_files: cause.more_files as u64,
        text: cause.text(explained),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))?
}

fn internal(error: slipway_explain::Error) -> Status {
    Status::internal(with_causes(&error))
}
