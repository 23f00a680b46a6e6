//! From the request to the response.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use slipway_model::llb;
use slipway_model::llb::pb;
use slipway_proto::control::{SolveRequest, SolveResponse};
use slipway_session::caller::HAS_LOCK;
use slipway_solver::{Built, JobOptions};
use slipway_store::metadata::Mark;
use slipway_worker::policy::{Rules, admit_definition};
use slipway_worker::source::cache::make_real;
use slipway_worker::{Value, ops};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use tracing::Instrument as _;

use super::attest::{self, Attests};
use super::export::{self, Exported};
use super::failure::Failure;
use super::frontend;
use super::journal::Journal;
use super::request::{BuildRequest, What};
use super::result::{BuildResult, PlatformOutput};
use super::verify::platform_warnings;
use super::{Build, Builds, Watched, caches, images, lock};
use crate::bridge::{Conversation, Reference};
use crate::engine::Engine;
use crate::explain::{Course, course};
use crate::history::{Outcome, Recording, Untraced};
use crate::provenance::Inquiry;
use crate::telemetry::{self, Facts, Parent};

/// Runs a build to its end. Dropping the future (the client went away) stops it.
pub(crate) async fn solve(
    engine: &Arc<Engine>,
    request: Request<SolveRequest>,
    parent: Option<Parent>,
) -> Result<SolveResponse, Status> {
    let has_lock = request.metadata().contains_key(HAS_LOCK);
    let mut request = BuildRequest { has_lock, ..BuildRequest::check(request.into_inner())? };
    let mut scope = request.scope(&engine.entitlements)?;
    let course = Arc::new(Course::default());
    let spool = Arc::new(match request.internal {
        true => engine.history.nameless_spool(),
        false => engine.history.spool(&request.id),
    });
    let journal = Arc::new(Journal::new(spool.clone(), course.clone()));
    let imports = Arc::new(caches::Imports::default());
    let mounts = Arc::new(caches::Mounts::new(engine.store.clone(), imports.clone(), journal.clone()));
    scope.mounts = Some(mounts.clone());
    let sessions = Some(request.session.clone()).filter(|session| !session.is_empty());
    let job = engine.solver.job(JobOptions {
        id: request.id.clone(),
        sessions: sessions.into_iter().collect(),
        progress: journal.clone(),
        imports: vec![imports.clone()],
        parallelism: None,
    });
    let watched = Arc::new(Watched { journal: journal.clone(), course: course.clone() });
    let build = Arc::new(Build {
        id: request.id.clone(),
        session: request.session.clone(),
        journal,
        course,
        watched,
        job,
        scope,
        stop: CancellationToken::new(),
        client: Arc::new(Conversation::with_client(
            request.client_inputs(),
            Inquiry::of_client(request.question()),
        )),
        started: SystemTime::now(),
        resolved: images::Resolved::default(),
        renewed: Mutex::default(),
        imports,
        mounts,
    });
    engine.builds.insert(&build)?;
    let recording = match request.internal {
        true => None,
        false => Some(engine.history.begin(request.started(), spool)?),
    };
    // A task of its own, so that a client that hangs up in the middle leaves nothing half done: the
    // guard pulls the stop token, and the task sees the build come down.
    let guard = build.stop.clone().drop_guard();
    let task = run(engine.clone(), build, request, recording, parent).in_current_span();
    let task = tokio::spawn(task);
    let outcome = task.await.unwrap_or_else(|error| Err(Failure::internal(error.to_string())));
    guard.disarm();
    outcome.map_err(|failure| failure.into_status())
}

async fn run(
    engine: Arc<Engine>,
    build: Arc<Build>,
    request: BuildRequest,
    recording: Option<Recording>,
    parent: Option<Parent>,
) -> Result<SolveResponse, Failure> {
    let mark = engine.mark();
    let following = course::follow(&engine, &build);
    let outcome = tokio::select! {
        () = build.stop.cancelled() => Err(Failure::cancelled()),
        () = session_lost(&engine, &build) => Err(Failure::session_lost()),
        outcome = work(&engine, &build, &request) => outcome,
    };
    build.client.containers.release_all().await;
    course::finish(&engine, &build, following).await;
    let facts = Facts::of(&build.job);
    build.job.end().await;
    build.scope.sources.forget();
    build.journal.close();
    engine.collector.ask();
    let (outcome, untraced) = report(&engine, outcome, recording, mark).await;
    if let Some(untraced) = untraced {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || telemetry::tell(&engine, untraced, parent, &facts));
    }
    build.client.inquiry.forget();
    Builds::retire(engine, build);
    outcome
}

/// Writes down what came of the build; when this returns with a response, a kill takes nothing of it back.
async fn report(
    engine: &Arc<Engine>,
    outcome: Result<Exported, Failure>,
    recording: Option<Recording>,
    mark: Mark,
) -> (Result<SolveResponse, Failure>, Option<Untraced>) {
    let mut outcome = outcome;
    let provenance = outcome.as_mut().map(|it| std::mem::take(&mut it.provenance)).unwrap_or_default();
    let ended = match &outcome {
        Ok(Exported { response, images, .. }) => Ok((response.clone(), images.clone())),
        Err(failure) => Err(failure.clone().into_wire()),
    };
    let results = outcome.as_ref().map_or_else(|_| Vec::new(), |exported| exported.results.clone());
    let at_work = engine.clone();
    let recorded = tokio::task::spawn_blocking(move || {
        let untraced = recording.map(|recording| {
            recording.complete(match ended {
                Ok((response, exported)) => {
                    Outcome::Built { response, exported, attestations: attest::record(provenance) }
                }
                Err(status) => Outcome::Failed(status),
            })
        });
        (at_work.flush(mark, &results), untraced)
    });
    let (flushed, untraced) = match recorded.await {
        Ok(recorded) => recorded,
        Err(error) => return (Err(Failure::internal(error.to_string())), None),
    };
    engine.producers.sweep();
    let response = outcome.and_then(|exported| {
        flushed.map_err(Failure::from_error)?;
        Ok(SolveResponse { exporter_response: exported.response })
    });
    (response, untraced)
}

/// Returns when the session that the build needs was there and has gone.
async fn session_lost(engine: &Engine, build: &Build) {
    if build.session.is_empty() {
        return std::future::pending().await;
    }
    match engine.sessions.get(&build.session).await {
        Ok(session) => session.closed().await,
        // It never came: what needs it says so.
        Err(_) => std::future::pending().await,
    }
}

async fn work(engine: &Arc<Engine>, build: &Arc<Build>, request: &BuildRequest) -> Result<Exported, Failure> {
    let attests = Attests::parse(&request.attests)?;
    let mut exporters = export::prepare(&request.exporters)?;
    let caches = caches::prepare(&request.cache_exports)?;
    // Else nobody reads the result: what of it is in a cache elsewhere may stay there.
    let is_read = !exporters.is_empty() || request.session_decides || attests.read_results();
    let read = if is_read { Read::Now } else { Read::Never };
    let imports = caches::entries(&request.cache_imports)?;
    if request.has_lock {
        lock::read(engine, build).await?;
    }
    // A client that is the frontend itself says which caches its graphs may use when it brings them.
    let importing = build.imports.add(engine, build, imports);
    let mut solved = match &request.what {
        What::Definition(definition) => {
            importing.await?;
            definition_result(engine, build, definition, read).await?
        }
        What::Frontend { name, options, inputs } => {
            let asking = frontend::run(engine, build, &build.client, name, options, inputs);
            let (answer, ()) = tokio::try_join!(asking, importing)?;
            answer.solve(engine, build, read).await?
        }
        What::Client { .. } => build.client.wait().await?.solve(engine, build, read).await?,
    };
    let provenance = attest::attach(engine, build, request, attests, &mut solved).await?;
    if request.session_decides {
        let chosen = export::chosen_by_client(engine, build, request.exporters.len(), &solved).await?;
        exporters.extend(export::prepare(&chosen)?);
    }
    let warnings = platform_warnings(request.frontend.1.get("platform").map(String::as_str), &solved);
    let mut exported =
        export::export(engine, build, exporters, &caches, &solved, request.compatibility, warnings).await?;
    exported.provenance = provenance;
    exported.response.extend(caches::export(engine, build, &caches, &solved).await?);
    for (key, value) in &solved.metadata {
        // What the frontend answers to the client, and not to exporters.
        if key.starts_with("frontend.") || key.starts_with("result.") {
            exported
                .response
                .entry(key.clone())
                .or_insert_with(|| String::from_utf8_lossy(value).into_owned());
        }
    }
    if request.session_decides {
        export::told_to_client(engine, build, &exported.response).await?;
    }
    lock::write(engine, build).await?;
    exported.results = solved.outputs.iter().filter_map(|output| output.value.snapshot().cloned()).collect();
    Ok(exported)
}

async fn definition_result(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    definition: &pb::Definition,
    read: Read,
) -> Result<BuildResult, Failure> {
    let reference = Reference::new(definition.clone());
    let Built { value, keys } = match &reference {
        None => Built { value: Value::Scratch, keys: Vec::new() },
        Some(reference) => {
            build.client.inquiry.graph(reference);
            reference.built(engine, build, read).await?
        }
    };
    let platform = images::default_platform(engine);
    let output = PlatformOutput {
        id: platform.to_string(),
        platform,
        value,
        keys,
        config: bytes::Bytes::new(),
        base_config: None,
        reference,
        attestations: Vec::new(),
        scans: BTreeMap::new(),
    };
    Ok(BuildResult { outputs: vec![output], ..BuildResult::default() })
}

/// Whether somebody reads what is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// It may be lazy.
    Never,
    Now,
}

/// Solves `definition` as part of `build`, to be read.
pub(crate) async fn solve_definition(
    engine: &Arc<Engine>,
    build: &Build,
    definition: &pb::Definition,
) -> Result<Value, Failure> {
    let admitted = admit(engine, build, definition, &Rules::default()).await?;
    Ok(build_definition(engine, build, &admitted, Read::Now).await?.value)
}

/// The definition as the policies of the build, its lock, and the rules that came with it want it.
pub(crate) async fn admit<'a>(
    engine: &Arc<Engine>,
    build: &Build,
    definition: &'a pb::Definition,
    rules: &Rules,
) -> Result<Cow<'a, pb::Definition>, Failure> {
    let admitting = admit_definition(&engine.worker, &build.scope.sources, rules, definition);
    admitting.await.map_err(|refused| Failure::refused(refused, definition))
}

/// Solves what was admitted; also tells the keys that the result is known under.
pub(crate) async fn build_definition(
    engine: &Arc<Engine>,
    build: &Build,
    admitted: &pb::Definition,
    read: Read,
) -> Result<Built<Value>, Failure> {
    let decoded = llb::Definition::decode(admitted).map_err(|error| Failure::invalid(error.to_string()))?;
    let decoded = Arc::new(decoded);
    let edge = ops::load(&engine.worker, &decoded, &build.scope).map_err(Failure::from_error)?;
    let Some(edge) = edge else { return Ok(Built { value: Value::Scratch, keys: Vec::new() }) };
    build.course.solves(&decoded);
    renew_caches(engine, build, &decoded).await?;
    let built = match read {
        Read::Never => build.job.build(&edge).await,
        Read::Now => build.job.build_real(&edge, make_real()).await,
    };
    built.map_err(|error| Failure::solving(error, &decoded))
}

/// Gives steps that are to run anew cache mounts without what earlier runs left there; once for each step.
async fn renew_caches(engine: &Engine, build: &Build, definition: &llb::Definition) -> Result<(), Failure> {
    let mut renewed = ops::renewed_caches(definition);
    if renewed.is_empty() {
        return Ok(());
    }
    // A step may have several.
    let done = build.renewed.lock().clone();
    renewed.retain(|cache| !done.contains(&cache.step));
    build.renewed.lock().extend(renewed.iter().map(|cache| cache.step));
    let store = engine.store.clone();
    let renewing = tokio::task::spawn_blocking(move || {
        renewed.iter().try_for_each(|cache| store.renew_cache_mounts(&cache.id, cache.has_base))
    });
    renewing.await.map_err(|error| Failure::internal(error.to_string()))?.map_err(Failure::from_error)
}

/// Metadata as the wire has it.
pub(crate) type Response = BTreeMap<String, String>;
