//! Bills of materials: `attest:sbom`.
//!
//! | generator | who looks |
//! |---|---|
//! | none named, or `builtin` | this program reads package databases and lock files of the result ([`sbom`]) |
//! | the name of an image | a step of that image does, by BuildKit's protocol |
//!
//! BuildKit's own default is an image; that needs a registry that has it, and a network. Who wants it names it:
//! `generator=docker/buildkit-syft-scanner:stable-1`.
//!
//! # The protocol of scanners
//!
//! The step sees the result at `$BUILDKIT_SCAN_SOURCE`, writes statements with SPDX documents into
//! `$BUILDKIT_SCAN_DESTINATION`, and finds further options as `BUILDKIT_SCAN_<option>`
//! (<https://github.com/moby/buildkit/blob/master/docs/attestations/sbom-protocol.md>).

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_exporter::attestation::{Attestation, Content, Kind, SPDX, sbom};
use slipway_model::llb::{Graph, Node, pb};
use slipway_model::{ImageConfig, Reference};
use slipway_worker::Value;

use super::attest::has_sbom;
use super::failure::Failure;
use super::request::BuildRequest;
use super::result::BuildResult;
use super::solve::solve_definition;
use super::{Build, images};
use crate::engine::Engine;

/// The name of the SBOM of an image itself.
const CORE: &str = "sbom";
const SOURCE: &str = "/run/src/core/sbom";
const EXTRAS: &str = "/run/src/extras";
const DESTINATION: &str = "/run/out/";

/// What SBOM is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SbomOptions {
    BuiltIn,
    Scanner { image: String, parameters: BTreeMap<String, String> },
}

impl SbomOptions {
    /// `None` if it says that none is wanted.
    pub(super) fn parse(mut fields: BTreeMap<String, String>) -> Result<Option<Self>, String> {
        if fields.remove("false").is_some() {
            return Ok(None);
        }
        fields.remove("true");
        match fields.remove("disabled").as_deref() {
            None | Some("false" | "0") => {}
            Some("" | "true" | "1") => return Ok(None),
            Some(other) => return Err(format!("disabled={other}: expected true or false")),
        }
        match fields.remove("generator").as_deref() {
            Some("") => Err("sbom generator cannot be empty".into()),
            None | Some("builtin") => match fields.keys().next() {
                None => Ok(Some(Self::BuiltIn)),
                Some(key) => {
                    Err(format!("unknown option {key:?}: only scanners in images have further ones"))
                }
            },
            Some(name) => {
                let reference: Reference = name
                    .parse()
                    .map_err(|error| format!("failed to parse sbom generator {name}: {error}"))?;
                let image = reference.or_latest().to_string();
                Ok(Some(Self::Scanner { image, parameters: fields }))
            }
        }
    }
}

/// Adds an SBOM for each result, unless the frontend has made one.
pub(super) async fn attach(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    request: &BuildRequest,
    options: &SbomOptions,
    result: &mut BuildResult,
) -> Result<(), Failure> {
    if has_sbom(result) {
        return Ok(());
    }
    match options {
        SbomOptions::BuiltIn => {
            let metadata = result.metadata.clone();
            for output in &mut result.outputs {
                let epoch = slipway_exporter::image::epoch_of(&metadata, &output.id).unwrap_or_default();
                let mut trees = vec![(CORE.to_owned(), output.value.clone())];
                for (extra, definition) in &output.scans {
                    trees.push((
                        format!("{CORE}-{extra}"),
                        solve_definition(engine, build, definition).await?,
                    ));
                }
                for (name, tree) in trees {
                    let title = format!("[{}] generating {name}", output.id);
                    output.attestations.extend(built_in(engine, build, tree, &name, &title, epoch).await?);
                }
            }
        }
        SbomOptions::Scanner { image, parameters } => {
            let scanner = Scanner::load(engine, build, request, image, parameters).await?;
            for output in &mut result.outputs {
                let Some(reference) = output.reference.clone() else { continue };
                let definition = scanner.scan(&reference.definition, &output.scans, &output.id)?;
                let tree = solve_definition(engine, build, &definition).await?;
                output.attestations.push(scanned(engine, tree).await?);
            }
        }
    }
    Ok(())
}

async fn built_in(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    value: Value,
    name: &str,
    title: &str,
    epoch: Option<i64>,
) -> Result<Option<Attestation>, Failure> {
    let worker = engine.worker.clone();
    let step = build.journal.step(title);
    let made = tokio::task::spawn_blocking(move || {
        if matches!(value, Value::Scratch) {
            return Ok(None);
        }
        let snapshot = worker.snapshot_of(&value).map_err(Failure::from_error)?;
        snapshot.map(|tree| sbom::generate(&tree, epoch).map_err(Failure::from_error)).transpose()
    });
    let made = made.await.map_err(|error| Failure::internal(error.to_string())).and_then(|made| made);
    match &made {
        Ok(_) => step.done(),
        Err(failure) => step.fail(failure.message()),
    }
    Ok(made?.map(|document| Attestation {
        kind: Kind::InToto,
        predicate_type: SPDX.into(),
        subjects: Vec::new(),
        path: format!("{name}.spdx.json"),
        content: Content::Bytes(document),
        sbom_core: Some(CORE.into()),
        inline_only: false,
    }))
}

async fn scanned(engine: &Arc<Engine>, tree: Value) -> Result<Attestation, Failure> {
    let worker = engine.worker.clone();
    let snapshot = tokio::task::spawn_blocking(move || match &tree {
        Value::Scratch => Ok(None),
        other => worker.snapshot_of(other),
    });
    let snapshot = snapshot.await.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(Attestation {
        kind: Kind::Bundle,
        predicate_type: SPDX.into(),
        subjects: Vec::new(),
        path: String::new(),
        content: Content::Tree(snapshot.map_err(Failure::from_error)?),
        sbom_core: Some(CORE.into()),
        inline_only: false,
    })
}

/// A scanner, ready to be run on any number of trees.
struct Scanner {
    image: String,
    platform: pb::Platform,
    arguments: Vec<String>,
    environment: Vec<String>,
    folder: String,
    ignore_cache: bool,
}

impl Scanner {
    async fn load(
        engine: &Arc<Engine>,
        build: &Arc<Build>,
        request: &BuildRequest,
        image: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let options = &request.frontend.1;
        let mode = options.get("image-resolve-mode").map_or("default", String::as_str);
        let platform = images::default_platform(engine);
        let question = images::ImageQuestion {
            reference: image.to_owned(),
            platform: Some(platform.clone()),
            mode: mode.to_owned(),
            ..Default::default()
        };
        let resolved = images::resolve(engine, build, question).await?.image(image)?;
        let config: ImageConfig = serde_json::from_slice(&resolved.config).map_err(|error| {
            Failure::invalid(format!("the config of scanner {image} is not valid: {error}"))
        })?;
        let words = [&config.config.entrypoint, &config.config.cmd];
        let arguments: Vec<String> = words.into_iter().flatten().flatten().cloned().collect();
        if arguments.is_empty() {
            return Err(Failure::invalid(format!("scanner {image} does not have cmd")));
        }
        let mut environment = config.config.env.clone();
        environment.push(format!("BUILDKIT_SCAN_DESTINATION={DESTINATION}"));
        environment.push(format!("BUILDKIT_SCAN_SOURCE={SOURCE}"));
        environment.extend(parameters.iter().map(|(key, value)| format!("BUILDKIT_SCAN_{key}={value}")));
        let folder = Some(config.config.working_dir.clone()).filter(|folder| !folder.is_empty());
        Ok(Self {
            image: image.to_owned(),
            platform: (&platform).into(),
            arguments,
            environment,
            folder: folder.unwrap_or_else(|| "/".into()),
            ignore_cache: options.get("no-cache").is_some_and(String::is_empty),
        })
    }

    /// A step that scans what `definition` makes, and `extras`; its result is what it has written.
    fn scan(
        &self,
        definition: &pb::Definition,
        extras: &BTreeMap<String, pb::Definition>,
        name: &str,
    ) -> Result<pb::Definition, Failure> {
        let mut graph = Graph::new();
        let scanned = graph.import(definition).map_err(|error| Failure::invalid(error.to_string()))?;
        let Some(scanned) = scanned else { return Ok(pb::Definition::default()) };
        let source =
            pb::SourceOp { identifier: format!("docker-image://{}", self.image), attrs: BTreeMap::new() };
        let root = graph.add(Node { op: self.op(pb::op::Op::Source(source)), ..Node::default() });
        let mount = |input: i64, dest: &str, output: i64| pb::Mount {
            input,
            dest: dest.to_owned(),
            output,
            ..pb::Mount::default()
        };
        let tmpfs = pb::Mount { mount_type: pb::MountType::Tmpfs.into(), ..mount(-1, "/tmp", -1) };
        let mut inputs = vec![root.output(), scanned];
        let mut mounts = vec![mount(0, "/", 0), tmpfs, pb::Mount { readonly: true, ..mount(1, SOURCE, -1) }];
        for (extra, definition) in extras {
            let imported = graph.import(definition).map_err(|error| Failure::invalid(error.to_string()))?;
            let input = imported.map_or(-1, |output| {
                inputs.push(output);
                i64::try_from(inputs.len() - 1).unwrap_or(-1)
            });
            let place = format!("{EXTRAS}/sbom-{extra}");
            mounts.push(pb::Mount { readonly: true, ..mount(input, &place, -1) });
        }
        mounts.push(mount(-1, DESTINATION, 1));
        let mut environment = self.environment.clone();
        if !extras.is_empty() {
            environment.push(format!("BUILDKIT_SCAN_SOURCE_EXTRAS={EXTRAS}"));
        }
        let exec = pb::ExecOp {
            meta: Some(pb::Meta {
                args: self.arguments.clone(),
                env: environment,
                cwd: self.folder.clone(),
                ..pb::Meta::default()
            }),
            mounts,
            ..pb::ExecOp::default()
        };
        let title = format!("[{name}] generating sbom using {}", self.image);
        let metadata = pb::OpMetadata {
            ignore_cache: self.ignore_cache,
            description: [("llb.customname".to_owned(), title)].into(),
            ..pb::OpMetadata::default()
        };
        let step =
            graph.add(Node { op: self.op(pb::op::Op::Exec(exec)), inputs, metadata, ..Node::default() });
        let written = slipway_model::llb::NodeOutput { node: step, index: 1 };
        Ok(graph.definition(Some(written), &[]))
    }

    fn op(&self, op: pb::op::Op) -> pb::Op {
        let constraints = Some(pb::WorkerConstraints::default());
        pb::Op { op: Some(op), platform: Some(self.platform.clone()), constraints, ..pb::Op::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators() {
        let parse = |pairs: &[(&str, &str)]| {
            SbomOptions::parse(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        assert_eq!(parse(&[]), Ok(Some(SbomOptions::BuiltIn)));
        assert_eq!(parse(&[("generator", "builtin")]), Ok(Some(SbomOptions::BuiltIn)));
        assert_eq!(parse(&[("disabled", "true")]), Ok(None));
        assert!(parse(&[("generator", "")]).unwrap_err().contains("empty"));
        assert!(parse(&[("x", "y")]).unwrap_err().contains("\"x\""));
        let Ok(Some(SbomOptions::Scanner { image, parameters })) =
            parse(&[("generator", "user/scanner"), ("SCAN", "1")])
        else {
            panic!("no scanner")
        };
        assert_eq!(image, "docker.io/user/scanner:latest");
        assert_eq!(parameters["SCAN"], "1");
    }
}
