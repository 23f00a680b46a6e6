//! What the client asks for: the frontend's options, read once.
//!
//! Options that are not read here belong to others: to exporters, to the solver, to the client itself.

use std::collections::BTreeMap;

use slipway_model::Platform;
use slipway_model::llb::pb;

use super::limits;
use crate::dockerfile::values::parse_bool;
use crate::error::{Failure, Unsupported};
use crate::lint;

/// A wire `NetMode` is kept as its number.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) build_arguments: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Empty: the file's last stage.
    pub(crate) target: String,
    /// Normalized; empty: what the builder is.
    pub(crate) platforms: Vec<Platform>,
    pub(crate) multi_platform: bool,
    /// `default`, `pull` or `local`.
    pub(crate) resolve_mode: String,
    /// `None`: use the cache. Empty: no stage may.
    pub(crate) no_cache: Option<Vec<String>>,
    pub(crate) network: pb::NetMode,
    pub(crate) extra_hosts: Vec<pb::HostIp>,
    pub(crate) shm_size: i64,
    pub(crate) ulimits: Vec<pb::Ulimit>,
    pub(crate) resources: Option<pb::LinuxResources>,
    pub(crate) cgroup_parent: String,
    pub(crate) hostname: String,
    pub(crate) cache_namespace: String,
    pub(crate) lint: Option<lint::Config>,
    /// All as they came, for what is looked up by a computed key.
    pub(crate) raw: BTreeMap<String, String>,
}

impl Options {
    pub(crate) fn parse(raw: &BTreeMap<String, String>) -> Result<Self, Failure> {
        refuse(raw)?;
        let text = |key: &str| raw.get(key).map(String::as_str).unwrap_or_default();
        let platforms = platforms(text("platform"))?;
        let resolve_mode = resolve_mode(text("image-resolve-mode"))?;
        let extra_hosts = limits::extra_hosts(text("add-hosts"))
            .map_err(|failure| failure.context("failed to parse additional hosts"))?;
        let shm_size = limits::integer(text("shm-size"))
            .map_err(|failure| failure.context("failed to parse shm size"))?;
        let ulimits =
            limits::ulimits(text("ulimit")).map_err(|failure| failure.context("failed to parse ulimit"))?;
        let resources =
            limits::resources(raw).map_err(|failure| failure.context("failed to parse resource limits"))?;
        let network = network(text("force-network-mode"))?;
        let multi_platform = multi_platform(raw, platforms.len() > 1)?;
        let lint = match raw.get("build-arg:BUILDKIT_DOCKERFILE_CHECK") {
            Some(text) => Some(lint::Config::parse(text).map_err(|error| {
                Failure::from(error).context("failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK")
            })?),
            None => None,
        };
        let hostname = match text("build-arg:BUILDKIT_SANDBOX_HOSTNAME") {
            "" => text("hostname"),
            hostname => hostname,
        };
        Ok(Self {
            build_arguments: with_prefix(raw, "build-arg:"),
            labels: with_prefix(raw, "label:"),
            target: text("target").to_owned(),
            platforms,
            multi_platform,
            resolve_mode,
            no_cache: raw.get("no-cache").map(|stages| match stages.as_str() {
                "" => Vec::new(),
                stages => stages.split(',').map(str::to_owned).collect(),
            }),
            network,
            extra_hosts,
            shm_size,
            ulimits,
            resources,
            cgroup_parent: text("cgroup-parent").to_owned(),
            hostname: hostname.to_owned(),
            cache_namespace: text("build-arg:BUILDKIT_CACHE_MOUNT_NS").to_owned(),
            lint,
            raw: raw.clone(),
        })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.raw.get(key).map(String::as_str)
    }

    /// Whether the stage of that name must not use the cache.
    pub(crate) fn is_without_cache(&self, stage: &str) -> bool {
        self.no_cache.as_ref().is_some_and(|stages| {
            stages.is_empty() || stages.iter().any(|name| name.to_lowercase() == stage.to_lowercase())
        })
    }

    /// The session that serves a local source.
    pub(crate) fn session<'a>(&'a self, local: &str, default: &'a str) -> &'a str {
        self.text(&format!("local-sessionid:{local}")).unwrap_or(default)
    }
}

/// What clients may require of a frontend.
const CAPABILITIES: [&str; 4] = [
    "moby.buildkit.frontend.inputs",
    "moby.buildkit.frontend.subrequests",
    "moby.buildkit.frontend.contexts",
    "moby.buildkit.frontend.gitquerystring",
];

/// What this frontend cannot do must not pass in silence.
fn refuse(raw: &BTreeMap<String, String>) -> Result<(), Failure> {
    if raw.get("override-copy-image").is_some_and(|image| !image.is_empty()) {
        return Err(Failure::new("support for \"override-copy-image\" was removed in BuildKit 0.11"));
    }
    if raw.get("build-arg:BUILDKIT_DISABLE_FILEOP").and_then(|text| parse_bool(text)) == Some(true) {
        return Err(Failure::new(
            "support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed in BuildKit 0.11",
        ));
    }
    for name in raw.get("frontend.caps").into_iter().flat_map(|names| names.split(',')) {
        // `+forward`: another frontend may be tried, which is not done here.
        let name = name.split('+').next().unwrap_or_default();
        if !name.is_empty() && !CAPABILITIES.contains(&name) {
            return Err(Failure::unsupported(Unsupported::Capability(name.to_owned())));
        }
    }
    for key in raw.keys() {
        let kind = key.strip_prefix("attest:").or_else(|| key.strip_prefix("build-arg:BUILDKIT_ATTEST_"));
        match kind.map(str::to_lowercase).as_deref() {
            // Made by the builder, of what this frontend makes.
            None | Some("provenance" | "sbom") => {}
            Some(kind) => return Err(Failure::new(format!("unknown attestation type {kind:?}"))),
        }
    }
    Ok(())
}

fn platforms(text: &str) -> Result<Vec<Platform>, Failure> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let platform = |text: &str| match text.parse::<Platform>() {
        Ok(platform) => Ok(platform.normalized()),
        Err(error) => Err(Failure::from(error).context(format!("failed to parse target platform {text}"))),
    };
    text.split(',').map(platform).collect()
}

fn resolve_mode(text: &str) -> Result<String, Failure> {
    match text {
        "" => Ok("default".to_owned()),
        "default" | "pull" | "local" => Ok(text.to_owned()),
        other => Err(Failure::new(format!("invalid image-resolve-mode: {other}"))),
    }
}

fn network(text: &str) -> Result<pb::NetMode, Failure> {
    match text {
        "" | "sandbox" => Ok(pb::NetMode::Unset),
        "none" => Ok(pb::NetMode::None),
        "host" => Ok(pb::NetMode::Host),
        other => Err(Failure::new(format!("invalid netmode {other}"))),
    }
}

fn multi_platform(raw: &BTreeMap<String, String>, several: bool) -> Result<bool, Failure> {
    let given = |key: &str| raw.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let Some(text) = given("build-arg:BUILDKIT_MULTI_PLATFORM").or_else(|| given("multi-platform")) else {
        return Ok(several);
    };
    match parse_bool(text) {
        None => Err(Failure::new(format!("invalid boolean value for multi-platform: {text}"))),
        Some(false) if several => {
            Err(Failure::new("conflicting config: returning multiple target platforms is not allowed"))
        }
        Some(wanted) => Ok(wanted),
    }
}

fn with_prefix(raw: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    let pairs = raw.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
    pairs.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}
