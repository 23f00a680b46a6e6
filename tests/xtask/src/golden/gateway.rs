//! The builder that the recorded builds ran on.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use slipway_frontend::{Facts, Gateway, GatewayError, ImageConfigRequest, ResolvedImage, Warning};
use slipway_model::llb::{Definition, pb};
use slipway_model::{Digest, Platform, Reference};

const CREATED: &str = "2020-01-01T00:00:00Z";
/// The committer time of every commit.
const COMMIT_TIME: i64 = 1_600_000_000;

pub(super) struct FakeGateway<'a> {
    folder: PathBuf,
    bases: &'a Value,
    facts: Facts,
    solved: Mutex<Vec<pb::Definition>>,
    warnings: Mutex<Vec<Warning>>,
}

impl<'a> FakeGateway<'a> {
    pub(super) fn new(folder: &Path, bases: &'a Value) -> Self {
        let facts = Facts {
            session_id: "golden-session".to_owned(),
            build_platforms: vec![Platform::new("linux", "amd64", "")],
        };
        Self { folder: folder.to_owned(), bases, facts, solved: Mutex::default(), warnings: Mutex::default() }
    }

    pub(super) fn into_records(self) -> (Vec<pb::Definition>, Vec<Warning>) {
        (self.solved.into_inner(), self.warnings.into_inner())
    }
}

#[async_trait]
impl Gateway for FakeGateway<'_> {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError> {
        let parsed: Reference =
            request.reference.parse().map_err(|error| GatewayError::Said(format!("{error}")))?;
        let parsed = parsed.or_latest();
        let canonical = parsed.to_string();
        let base = self.bases.get(parsed.familiar_name()).unwrap_or(&self.bases["*"]);
        if let Some(error) = base["error"].as_str() {
            return Err(GatewayError::Said(format!("{canonical}: {error}")));
        }
        let digest = parsed.digest().map_or_else(|| Digest::of(canonical.as_bytes()), |digest| digest.0);
        let config = config(base, &canonical, request.platform.as_ref()).to_string();
        Ok(ResolvedImage { reference: request.reference, digest: Some(digest), config: config.into() })
    }

    async fn read_file(
        &self,
        definition: &pb::Definition,
        path: &str,
    ) -> Result<Option<Bytes>, GatewayError> {
        let mut solved = self.solved.lock();
        if !solved.contains(definition) {
            solved.push(definition.clone());
        }
        let decoded =
            Definition::decode(definition).map_err(|error| GatewayError::Said(error.to_string()))?;
        let identifier = match decoded.head.as_ref().and_then(|(vertex, _)| vertex.op.op.as_ref()) {
            Some(pb::op::Op::Source(source)) => source.identifier.clone(),
            _ => return Ok(None),
        };
        let file = match identifier.strip_prefix("local://") {
            Some("context") | None => path.to_owned(),
            Some(_) if path != ".dockerignore" => path.to_owned(),
            Some(local) => format!("ctx-{local}.dockerignore"),
        };
        Ok(std::fs::read(self.folder.join(file)).ok().map(Bytes::from))
    }

    async fn warn(&self, warning: Warning) {
        self.warnings.lock().push(warning);
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn source_time(&self, source: &pb::SourceOp, _: &str) -> Result<Option<i64>, GatewayError> {
        Ok(source.identifier.starts_with("git://").then_some(COMMIT_TIME))
    }
}

fn config(base: &Value, canonical: &str, asked: Option<&Platform>) -> Value {
    let default = Platform::new("linux", "amd64", "");
    let asked = asked.unwrap_or(&default);
    let mut config = json!({
        "architecture": asked.architecture,
        "os": asked.os,
        "created": CREATED,
        "config": base["config"],
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(format!("layer:{canonical}").as_bytes()).to_string()]},
        "history": [{"created": CREATED, "created_by": format!("golden {canonical}")}],
    });
    if !asked.variant.is_empty() {
        config["variant"] = asked.variant.clone().into();
    }
    if let Some(architecture) = base["architecture"].as_str() {
        config["architecture"] = architecture.into();
        config["os"] = "linux".into();
        config.as_object_mut().map(|config| config.remove("variant"));
    }
    if base["no_layers"].as_bool() == Some(true) {
        config["rootfs"]["diff_ids"] = json!([]);
        config["history"][0]["empty_layer"] = true.into();
    }
    config
}
