//! Provenance of one result, made when its image is there.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use slipway_exporter::attestation::Make;
use slipway_model::{Descriptor, Platform, llb};

use super::capture::{Capture, Pins};
use super::inquiry::{ImageSource, Inquiry, Question};
use super::layers::layers;
use super::options::{Mode, ProvenanceOptions};
use super::predicate::Predicate;
use super::request::{LocalSource, Parameters, RequestProvenance};
use super::steps::Steps;
use crate::bridge::Reference;
use crate::engine::Engine;
use crate::history::redact;
use crate::version::DOCKERFILE;

/// The frontend whose version is told, since it is part of the daemon.
const BUILT_IN: &str = "dockerfile.v0";

/// One result of a build.
pub(crate) struct Subject<'a> {
    /// As the frontend calls its platform; empty where results are not told apart.
    pub id: &'a str,
    pub reference: &'a Arc<Reference>,
    /// Of all results, where they are told apart.
    pub platforms: &'a [(String, Platform)],
    /// All results of the build: each is made of its own graph, not of the others'.
    pub results: &'a [Arc<Reference>],
}

/// All that is known of one result before it is exported.
pub(crate) struct Maker {
    pub engine: Arc<Engine>,
    pub pins: Arc<Pins>,
    pub invocation: String,
    pub started: SystemTime,
    /// The same for all documents of a build.
    pub finished: Arc<OnceLock<SystemTime>>,
    pub compatibility: i64,
    pub captured: Captured,
    pub options: ProvenanceOptions,
}

/// What a result is made of, and for whom.
#[derive(Clone)]
pub(crate) struct Captured {
    reference: Arc<Reference>,
    capture: Capture,
    question: Option<Arc<Question>>,
    request: RequestProvenance,
}

/// Collects what `subject` is made of. `root` is the inquiry of the build's client.
pub(crate) fn capture(engine: &Engine, pins: &Pins, root: &Arc<Inquiry>, subject: &Subject<'_>) -> Captured {
    let inquiry = root.find(subject.reference).unwrap_or_else(|| root.clone());
    let mut capture = Capture::default();
    add(&mut capture, subject.reference, pins);
    // What was asked on the way to the answer has had its part in it.
    for graph in inquiry.graphs() {
        let is_result = subject.results.iter().any(|result| Arc::ptr_eq(result, &graph));
        if !is_result && graph.is_built() {
            add(&mut capture, &graph, pins);
        }
    }
    for image in of_platform(subject, inquiry.images()) {
        capture.image(image);
    }
    capture.finish();
    let request = request(engine, pins, &inquiry, &capture, 0);
    let question = inquiry.question.clone();
    Captured { reference: subject.reference.clone(), capture, question, request }
}

fn add(capture: &mut Capture, reference: &Reference, pins: &Pins) {
    match llb::Definition::decode(reference.solved()) {
        Ok(decoded) => capture.add(&decoded, pins),
        Err(_) => capture.incomplete = true,
    }
}

/// A name that was looked up for every platform counts only for its own.
fn of_platform(subject: &Subject<'_>, images: Vec<ImageSource>) -> Vec<ImageSource> {
    let Some((_, own)) = subject.platforms.iter().find(|(id, _)| id == subject.id) else { return images };
    let same = |a: &Platform, b: &Platform| a.os == b.os && a.architecture == b.architecture;
    let is_for_all = |reference: &str| {
        subject.platforms.iter().all(|(_, platform)| {
            let mut named = images.iter().filter(|image| image.reference == reference);
            named.any(|image| image.platform.as_ref().is_some_and(|it| same(it, platform)))
        })
    };
    let counts = |image: &&ImageSource| match &image.platform {
        Some(platform) if is_for_all(&image.reference) => same(platform, own),
        _ => true,
    };
    images.iter().filter(counts).cloned().collect()
}

/// Inputs of inputs are told down to here.
const DEEPEST: usize = 16;

/// The request that `inquiry` is about, with those that made its inputs.
fn request(
    engine: &Engine,
    pins: &Pins,
    inquiry: &Inquiry,
    capture: &Capture,
    depth: usize,
) -> RequestProvenance {
    let Some(question) = &inquiry.question else {
        return RequestProvenance { request: Some(Parameters::default()), ..RequestProvenance::default() };
    };
    let mut told = told(engine, pins, question, capture, depth);
    let root = inquiry.root.as_ref().filter(|root| root.says_anything() && depth == 0);
    let root = root.map(|root| self::told(engine, pins, root, capture, depth)).filter(|root| {
        let says = |it: &Parameters| !it.frontend.is_empty() || !it.args.is_empty() || !it.inputs.is_empty();
        root.request.as_ref().is_some_and(says)
    });
    if let (Some(root), Some(request)) = (root.filter(|root| *root != told), &mut told.request) {
        request.root = Some(Box::new(root));
    }
    told
}

fn told(
    engine: &Engine,
    pins: &Pins,
    question: &Question,
    capture: &Capture,
    depth: usize,
) -> RequestProvenance {
    let mut told = RequestProvenance::of(question, &capture.sources);
    if depth >= DEEPEST {
        return told;
    }
    let mut inputs = BTreeMap::new();
    for (name, definition) in &question.inputs {
        let mut made = Capture::default();
        match llb::Definition::decode(definition) {
            Ok(decoded) => made.add(&decoded, pins),
            Err(_) => continue,
        }
        made.finish();
        let makers = engine.producers.of(definition);
        let mut requests: Vec<_> =
            makers.iter().map(|maker| request(engine, pins, maker, &made, depth + 1)).collect();
        requests.dedup();
        // A client's own graph was made for no request, and of several nobody knows which it was.
        if let [_] = &requests[..]
            && makers.iter().all(|maker| maker.question.is_some())
        {
            inputs.extend(requests.pop().map(|request| (name.clone(), request)));
        }
    }
    if let Some(request) = &mut told.request {
        request.inputs = inputs;
    }
    told
}

impl Captured {
    /// Names of local directories, if these are why materials are incomplete.
    pub(crate) fn locals(&self) -> &[String] {
        &self.capture.sources.local
    }

    pub(crate) fn is_complete(&self) -> bool {
        !self.capture.incomplete && self.capture.sources.local.is_empty()
    }
}

impl Maker {
    /// The predicate; `layers` are those of the image. Blocks.
    fn predicate(&self, layers_of_image: &[Descriptor]) -> Result<Predicate, llb::DefinitionError> {
        let Captured { reference, capture, question, request } = &self.captured;
        let RequestProvenance { config_source, request } = request.clone();
        let mut request = request.unwrap_or_default();
        let version_control = request.take_version_control();
        request.secrets.clone_from(&capture.secrets);
        request.ssh.clone_from(&capture.ssh);
        request.locals =
            capture.sources.local.iter().map(|name| LocalSource { name: name.clone() }).collect();
        request.compatibility_version = Some(self.compatibility);
        let mut is_request_complete = !request.frontend.is_empty();
        let (mut build_config, mut source, mut layers_of_steps) = (None, None, None);
        match self.options.mode {
            Mode::Min => is_request_complete &= !request.reduce(),
            Mode::Max => {
                let decoded = llb::Definition::decode(reference.solved())?;
                let secrets = question.as_deref().map(secret_arguments).unwrap_or_default();
                let mut steps = Steps::of(reference.solved(), &decoded, &secrets);
                build_config = Some(steps.take_build_config());
                source = steps.source(reference.solved());
                layers_of_steps = layers(&self.engine, &self.pins, &steps, layers_of_image);
            }
        }
        let is_built_in = request.frontend == BUILT_IN;
        let are_materials_complete = self.captured.is_complete();
        Ok(Predicate {
            builder_id: self.options.builder_id.clone(),
            invocation: self.invocation.clone(),
            started: self.started,
            finished: *self.finished.get_or_init(SystemTime::now),
            platform: Platform::host().normalized().to_string(),
            dockerfile_version: is_built_in.then(|| DOCKERFILE.to_owned()),
            environment: self.engine.provenance_environment.clone(),
            config_source,
            request,
            materials: capture.sources.descriptors(),
            is_request_complete,
            are_materials_complete,
            hermetic: are_materials_complete && !capture.network,
            reproducible: self.options.reproducible,
            version_control,
            build_config,
            source,
            layers: layers_of_steps,
        })
    }
}

impl Make for Maker {
    fn make(&self, layers: &[Descriptor]) -> io::Result<Bytes> {
        let predicate = self.predicate(layers).map_err(io::Error::other)?;
        let json = serde_json::to_vec_pretty(&predicate.json(self.options.version))?;
        Ok(json.into())
    }
}

/// Build arguments that are named like a secret, and their values.
fn secret_arguments(question: &Question) -> Vec<(&str, &str)> {
    question
        .options
        .iter()
        .filter_map(|(key, value)| {
            let name = key.strip_prefix("build-arg:").filter(|name| redact::is_secret(name))?;
            Some((name, value.as_str())).filter(|(_, value)| !value.is_empty())
        })
        .collect()
}
