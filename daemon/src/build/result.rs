//! What a frontend made of a build: a tree for each platform, and facts about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use slipway_exporter::Attestation;
use slipway_model::Platform;
use slipway_model::llb::pb;
use slipway_solver::KeyId;
use slipway_worker::Value;

use crate::bridge::Reference;

/// The outcome of a build, before it is exported.
#[derive(Clone, Default)]
pub(crate) struct BuildResult {
    pub outputs: Vec<PlatformOutput>,
    /// Results are told apart by platform even if there is only one.
    pub multi_platform: bool,
    /// Facts that go to the client (`result.txt`, …) and to exporters.
    pub metadata: BTreeMap<String, Bytes>,
}

#[derive(Clone)]
pub(crate) struct PlatformOutput {
    /// As the frontend names it, for example `linux/arm64`.
    pub id: String,
    pub platform: Platform,
    pub value: Value,
    /// What it is known under in caches.
    pub keys: Vec<KeyId>,
    /// The image config as the frontend made it; empty if it made none.
    pub config: Bytes,
    pub base_config: Option<Bytes>,
    /// The graph that it is the result of.
    pub reference: Option<Arc<Reference>>,
    /// What is said about it.
    pub attestations: Vec<Attestation>,
    /// Graphs that an SBOM is to tell of beside it, by name.
    pub scans: BTreeMap<String, pb::Definition>,
}
