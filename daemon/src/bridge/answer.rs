//! What a frontend makes of a build: references and facts about them, nothing of it solved yet.
//!
//! Every frontend answers in this form, whether it is part of the daemon, a container or the client itself.
//! [`Answer::solve`] makes it the outcome of a build; a frontend that asked another one gets it as names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use serde::Deserialize;
use slipway_frontend::FrontendResult;
use slipway_model::Platform;
use slipway_model::llb::pb;
use slipway_proto::gateway::{Result as WireResult, ReturnRequest, result};
use slipway_solver::Built;
use tonic::Code;

use super::attestation::{self, AllTold};
use super::refs::{Reference, Refs};
use crate::build::failure::Failure;
use crate::build::result::{BuildResult, PlatformOutput};
use crate::build::solve::Read;
use crate::build::{Build, images};
use crate::engine::Engine;

pub(crate) type Returned = Result<Answer, Failure>;

#[derive(Clone)]
pub(crate) struct Answer {
    pub trees: Trees,
    /// Image configs, platforms, what sub-requests answer.
    pub metadata: BTreeMap<String, Bytes>,
    /// What is said about it, by platform.
    pub attestations: AllTold,
    /// Graphs that an SBOM is to tell of beside the result, by platform and name.
    pub scans: Scans,
}

pub(crate) type Scans = BTreeMap<String, BTreeMap<String, pb::Definition>>;

/// None is scratch.
#[derive(Clone)]
pub(crate) enum Trees {
    One(Option<Arc<Reference>>),
    /// By a key of the frontend's choosing; `refs.platforms` says what it stands for.
    Each(BTreeMap<String, Option<Arc<Reference>>>),
}

/// The value of `refs.platforms`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Platforms {
    platforms: Vec<NamedPlatform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedPlatform {
    #[serde(rename = "ID")]
    id: String,
    platform: Platform,
}

impl Platforms {
    fn read(json: &[u8]) -> Result<Self, Failure> {
        let read = serde_json::from_slice::<Option<Self>>(json)
            .map_err(|error| Failure::invalid(format!("refs.platforms is not valid: {error}")))?;
        let read = read.unwrap_or_default();
        if read.platforms.is_empty() {
            return Err(Failure::invalid("invalid empty platforms index for exporter"));
        }
        for NamedPlatform { id, platform } in &read.platforms {
            if id.is_empty() {
                return Err(Failure::invalid("invalid empty platform key for exporter"));
            }
            if platform.os.is_empty() || platform.architecture.is_empty() {
                return Err(Failure::invalid(format!(
                    "invalid platform value {platform} for exporter: {id}"
                )));
            }
        }
        Ok(read)
    }
}

/// `None` is scratch.
type PlatformTree = (NamedPlatform, Option<Arc<Reference>>);

impl From<FrontendResult> for Answer {
    fn from(made: FrontendResult) -> Self {
        let scans = made.outputs.iter().map(|output| (output.id.clone(), output.scans.clone())).collect();
        let mut trees = made.outputs.into_iter().map(|output| (output.id, Reference::new(output.definition)));
        let trees = match made.multi_platform {
            true => Trees::Each(trees.collect()),
            false => Trees::One(trees.next().and_then(|(_, reference)| reference)),
        };
        Self { trees, metadata: made.metadata, attestations: AllTold::new(), scans }
    }
}

/// What a frontend hands in with `Return`.
pub(super) fn returned(refs: &Refs, request: ReturnRequest) -> Result<Returned, Failure> {
    match (request.error, request.result) {
        (Some(_), Some(_)) | (None, None) => {
            Err(Failure::invalid("a frontend returns either a result or an error"))
        }
        (Some(error), None) => {
            let failure = Failure::new(Code::from_i32(error.code), error.message);
            Ok(Err(failure.with_details(error.details)))
        }
        (None, Some(result)) => Answer::read(refs, result).map(Ok),
    }
}

impl Answer {
    /// One graph, and nothing said about it.
    pub(super) fn of(reference: Option<Arc<Reference>>) -> Self {
        let trees = Trees::One(reference);
        Self { trees, metadata: BTreeMap::new(), attestations: AllTold::new(), scans: Scans::new() }
    }

    fn read(refs: &Refs, result: WireResult) -> Result<Self, Failure> {
        let attestations = attestation::read(refs, result.attestations)?;
        let each = |named: BTreeMap<String, String>| {
            let find = |(key, id): (String, String)| Ok((key, refs.get(&id)?));
            named.into_iter().map(find).collect::<Result<_, Failure>>().map(Trees::Each)
        };
        let trees = match result.result {
            None => Trees::One(None),
            Some(result::Result::Ref(reference)) => Trees::One(refs.get(&reference.id)?),
            Some(result::Result::RefDeprecated(id)) => Trees::One(refs.get(&id)?),
            Some(result::Result::Refs(map)) => {
                each(map.refs.into_iter().map(|(key, reference)| (key, reference.id)).collect())?
            }
            Some(result::Result::RefsDeprecated(map)) => each(map.refs)?,
        };
        Ok(Self { trees, metadata: result.metadata, attestations, scans: Scans::new() })
    }

    /// All references, each once for each key, and those of what is said about them.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Arc<Reference>> {
        let (one, each) = match &self.trees {
            Trees::One(reference) => (Some(reference), None),
            Trees::Each(trees) => (None, Some(trees.values())),
        };
        let told = self.attestations.values().flatten().map(|told| &told.reference);
        one.into_iter().chain(each.into_iter().flatten()).chain(told).flatten()
    }

    /// Solves everything, all platforms at once.
    pub(crate) async fn solve(
        self,
        engine: &Arc<Engine>,
        build: &Arc<Build>,
        read: Read,
    ) -> Result<BuildResult, Failure> {
        let (multi_platform, trees) = self.platforms(engine)?;
        let (metadata, told, scans) = (&self.metadata, &self.attestations, &self.scans);
        let solving = trees.into_iter().map(|(NamedPlatform { id, platform }, reference)| async move {
            let Built { value, keys } = match &reference {
                None => Built { value: slipway_worker::Value::Scratch, keys: Vec::new() },
                Some(reference) => reference.built(engine, build, read).await?,
            };
            let told = told.get(&id).into_iter().flatten().cloned();
            let attestations = try_join_all(told.map(|told| told.solve(engine, build))).await?;
            let scans = scans.get(&id).cloned().unwrap_or_default();
            let config = fact(metadata, "containerimage.config", &id).unwrap_or_default();
            let base_config = fact(metadata, "containerimage.base.config", &id);
            Ok::<_, Failure>(PlatformOutput {
                id,
                platform,
                value,
                keys,
                config,
                base_config,
                reference,
                attestations,
                scans,
            })
        });
        let outputs = try_join_all(solving).await?;
        Ok(BuildResult { outputs, multi_platform, metadata: self.metadata })
    }

    /// Whether platforms are told apart, and the tree for each.
    fn platforms(&self, engine: &Engine) -> Result<(bool, Vec<PlatformTree>), Failure> {
        let listed = match self.metadata.get("refs.platforms") {
            None => None,
            Some(json) => Some(Platforms::read(json)?),
        };
        let trees = match &self.trees {
            Trees::One(reference) => {
                let only = listed.map(|list| list.platforms).filter(|platforms| platforms.len() == 1);
                let named = only.and_then(|platforms| platforms.into_iter().next()).unwrap_or_else(|| {
                    let platform = images::default_platform(engine);
                    NamedPlatform { id: platform.to_string(), platform }
                });
                return Ok((false, vec![(named, reference.clone())]));
            }
            Trees::Each(trees) => trees,
        };
        let Some(listed) = listed else {
            return Err(Failure::invalid("build result contains multiple refs without platforms mapping"));
        };
        let find = |named: NamedPlatform| {
            let reference = trees.get(&named.id).cloned().ok_or_else(|| {
                Failure::invalid(format!("refs.platforms names {:?}, which has no reference", named.id))
            })?;
            Ok((named, reference))
        };
        Ok((true, listed.platforms.into_iter().map(find).collect::<Result<_, Failure>>()?))
    }
}

/// A fact about one platform, or about the only one.
fn fact(metadata: &BTreeMap<String, Bytes>, key: &str, id: &str) -> Option<Bytes> {
    metadata.get(&format!("{key}/{id}")).or_else(|| metadata.get(key)).cloned()
}
