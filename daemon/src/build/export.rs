//! Results to where they were asked for, through the client's session or straight to a registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use slipway_exporter::{Context, ExportSource, Exporter, PlatformImage, exporter};
use slipway_model::Descriptor;
use slipway_store::Ref;
use slipway_worker::Value;

use super::Build;
use super::attest::ForHistory;
use super::caches;
use super::failure::Failure;
use super::journal::Step;
use super::outputs::SessionOutputs;
use super::request::ExporterRequest;
use super::result::BuildResult;
use super::solve::Response;
use crate::engine::Engine;

/// An exporter, and its place in the request.
pub(crate) struct Prepared {
    index: usize,
    exporter: Box<dyn Exporter>,
    /// Facts about the result that hold for this exporter alone, in place of the frontend's.
    facts: BTreeMap<String, String>,
    /// Options that mean nothing here.
    idle: Vec<String>,
}

/// Exporters with their options checked, before anything is built.
pub(crate) fn prepare(requests: &[ExporterRequest]) -> Result<Vec<Prepared>, Failure> {
    requests.iter().map(prepare_one).collect()
}

fn prepare_one(request: &ExporterRequest) -> Result<Prepared, Failure> {
    let (mut facts, mut options) = (BTreeMap::new(), request.options.clone());
    facts.extend(options.extract_if(.., |option, _| option.starts_with("containerimage.")));
    // Clients of the reference hand these to exporters, too, where nobody looks at them.
    let idle = options.extract_if(.., |option, _| option.starts_with("attest:")).map(|(option, _)| option);
    let idle = idle.collect();
    let exporter = exporter(&request.kind, &options)
        .map_err(|error| Failure::invalid(slipway_solver::with_causes(&error)))?;
    Ok(Prepared { index: request.index, exporter, facts, idle })
}

/// What the client wants made of `result` when it sees it. Its outputs are numbered from `first` on.
pub(crate) async fn chosen_by_client(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    first: usize,
    result: &BuildResult,
) -> Result<Vec<ExporterRequest>, Failure> {
    let session = engine.sessions.get(&build.session).await.map_err(Failure::from_error)?;
    let named = result.outputs.iter().filter_map(|output| output.reference.clone());
    let refs = named.map(|reference| build.client.refs.name(Some(reference))).collect::<Result<_, _>>()?;
    let chosen = session.find_exporters(result.metadata.clone(), refs).await.map_err(Failure::from_error)?;
    let request = |(at, chosen): (usize, slipway_proto::exporter::ExporterRequest)| ExporterRequest {
        index: first + at,
        kind: chosen.r#type,
        options: chosen.attrs,
    };
    Ok(chosen.into_iter().enumerate().map(request).collect())
}

/// The client hears what was exported, and may still object.
pub(crate) async fn told_to_client(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    response: &Response,
) -> Result<(), Failure> {
    let session = engine.sessions.get(&build.session).await.map_err(Failure::from_error)?;
    session.finalize_export(response.clone()).await.map_err(Failure::from_error)
}

/// What came of the exporters.
#[derive(Default)]
pub(crate) struct Exported {
    /// The facts they tell.
    pub response: Response,
    /// The images they made, by their place in the request.
    pub images: BTreeMap<usize, Descriptor>,
    /// What was exported.
    pub results: Vec<Ref>,
    /// Where it came from, for the history.
    pub provenance: ForHistory,
}

/// Runs all exporters at once; the first of them tells `warnings`.
pub(crate) async fn export(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    exporters: Vec<Prepared>,
    caches: &[caches::CacheExport],
    result: &BuildResult,
    compatibility: i64,
    warnings: Vec<String>,
) -> Result<Exported, Failure> {
    if exporters.is_empty() {
        if !warnings.is_empty() {
            let step = build.journal.step("verifying build result");
            warnings.into_iter().for_each(|warning| step.warn(warning));
            step.done();
        }
        return Ok(Exported::default());
    }
    let mut source = source(engine, result).await?;
    source.compatibility = compatibility;
    if caches.iter().any(caches::CacheExport::is_inline) {
        caches::carry_inline(engine, build, result, &mut source).await?;
    }
    let steps: Vec<_> =
        exporters.iter().map(|one| Arc::new(build.journal.step(one.exporter.title()))).collect();
    if let Some(first) = steps.first() {
        warnings.into_iter().for_each(|warning| first.warn(warning));
    }
    let running = exporters.iter().zip(steps).map(|(one, step)| run(engine, build, one, step, &source));
    let mut exported = Exported::default();
    for (index, told) in try_join_all(running).await? {
        if let Some(image) = told.descriptor {
            exported.images.insert(index, image);
        }
        // Of facts that several tell, clients get those of the last, as from the reference.
        exported.response.extend(told.metadata);
    }
    Ok(exported)
}

async fn run(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    Prepared { index, exporter, facts, idle }: &Prepared,
    step: Arc<Step>,
    source: &ExportSource,
) -> Result<(usize, slipway_exporter::Response), Failure> {
    for option in idle {
        step.warn(format!("{option} has no effect on an exporter: it is an option of the build"));
    }
    let context = Context {
        store: engine.store.clone(),
        registry: Some(engine.worker.images.client(vec![build.session.clone()])),
        images: Some(engine.images.clone()),
        outputs: Arc::new(SessionOutputs {
            engine: engine.clone(),
            session: build.session.clone(),
            index: *index,
            step: step.clone(),
        }),
    };
    let exported = match facts.is_empty() {
        true => exporter.export(source, &context).await,
        false => exporter.export(&with_facts(source, facts), &context).await,
    };
    drop(context);
    let outcome =
        exported.map_err(|error| Failure::new(tonic::Code::Unknown, slipway_solver::with_causes(&error)));
    match &outcome {
        Ok(_) => step.done(),
        Err(failure) => step.fail(failure.message()),
    }
    outcome.map(|told| (*index, told))
}

fn with_facts(source: &ExportSource, facts: &BTreeMap<String, String>) -> ExportSource {
    let mut source = source.clone();
    for image in &mut source.images {
        let own = facts.get(&format!("{CONFIG}/{}", image.id)).or_else(|| facts.get(CONFIG));
        if let Some(config) = own {
            image.config = config.clone().into();
        }
    }
    let facts = facts.iter().map(|(key, value)| (key.clone(), value.clone().into()));
    source.metadata.extend(facts);
    source
}

const CONFIG: &str = "containerimage.config";

/// The result as exporters see it; a client's directory becomes a snapshot.
async fn source(engine: &Arc<Engine>, result: &BuildResult) -> Result<ExportSource, Failure> {
    let mut images = Vec::new();
    for output in &result.outputs {
        let (engine, value) = (engine.clone(), output.value.clone());
        let snapshot = tokio::task::spawn_blocking(move || match &value {
            Value::Scratch => Ok(None),
            other => engine.worker.snapshot_of(other),
        });
        let snapshot = snapshot.await.map_err(|error| Failure::internal(error.to_string()))?;
        let snapshot = snapshot.map_err(Failure::from_error)?;
        let mut image = PlatformImage::new(output.id.clone(), snapshot, output.config.clone());
        image.platform = Some(output.platform.clone());
        image.base_config = output.base_config.clone().unwrap_or_default();
        image.attestations.clone_from(&output.attestations);
        images.push(image);
    }
    Ok(ExportSource {
        images,
        multi_platform: result.multi_platform,
        metadata: result.metadata.clone(),
        ..ExportSource::default()
    })
}
