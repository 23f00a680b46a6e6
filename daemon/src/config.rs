//! Configuration, in the form of `buildkitd.toml`.
//!
//! A key that is not known is an error that names it: a setting that does nothing would be worse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::gc::{DiskSpace, GcConfig, GcPolicy};
use crate::history::Limits;
use crate::{Error, Frontends, LogLimits, Result, duration};

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything rests.
    pub root: Option<PathBuf>,
    /// `unix://PATH`, `tcp://HOST:PORT`, `fd://`.
    pub listen: Vec<String>,
    /// `builtin`, or an OCI runtime.
    pub runtime: String,
    /// `auto`, `host` or `none`.
    pub network: String,
    /// `auto`, `overlayfs` or `native`.
    pub snapshotter: String,
    /// `network.host`, `security.insecure`.
    pub entitlements: Vec<String>,
    /// Operations that run at once; `None` is no limit.
    pub max_parallelism: Option<usize>,
    pub registries: BTreeMap<String, Registry>,
    /// What may stay in the store.
    pub gc: GcConfig,
    pub history: Limits,
    /// What one step may say; nothing is left out by default.
    pub log_limits: LogLimits,
    pub frontends: Frontends,
    /// End when no client has been there for a moment.
    pub exit_when_idle: bool,
}

/// How to reach one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Plain HTTP.
    #[serde(default)]
    pub http: bool,
    /// TLS without checking the certificate.
    #[serde(default)]
    pub insecure: bool,
    /// Files with further certificate authorities.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: None,
            listen: Vec::new(),
            runtime: "builtin".into(),
            network: "auto".into(),
            snapshotter: "auto".into(),
            entitlements: Vec::new(),
            max_parallelism: None,
            registries: BTreeMap::new(),
            gc: GcConfig::default(),
            history: Limits::default(),
            log_limits: LogLimits::default(),
            frontends: Frontends::default(),
            exit_when_idle: false,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    root: Option<PathBuf>,
    #[serde(default)]
    grpc: Grpc,
    #[serde(default, rename = "insecure-entitlements")]
    insecure_entitlements: Vec<String>,
    #[serde(default)]
    worker: Workers,
    #[serde(default)]
    registry: BTreeMap<String, Registry>,
    #[serde(default)]
    frontend: Frontends,
    history: Option<HistoryLimits>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HistoryLimits {
    max_age: Option<Span>,
    max_entries: Option<u32>,
}

/// Seconds, or `48h`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Span {
    Seconds(u64),
    Text(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Grpc {
    #[serde(default)]
    address: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Workers {
    #[serde(default)]
    oci: OciWorker,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct OciWorker {
    binary: Option<String>,
    snapshotter: Option<String>,
    #[serde(rename = "networkMode")]
    network_mode: Option<String>,
    #[serde(rename = "max-parallelism")]
    max_parallelism: Option<usize>,
    gc: Option<bool>,
    #[serde(default)]
    gckeepstorage: DiskSpace,
    #[serde(default, rename = "reservedSpace")]
    reserved_space: DiskSpace,
    #[serde(default, rename = "maxUsedSpace")]
    max_used_space: DiskSpace,
    #[serde(default, rename = "minFreeSpace")]
    min_free_space: DiskSpace,
    #[serde(default)]
    gcpolicy: Vec<GcPolicy>,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::ConfigRead { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|reason| Error::Config { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let defaults = Self::default();
        let oci = file.worker.oci;
        Ok(Self {
            root: file.root,
            listen: file.grpc.address,
            runtime: oci.binary.unwrap_or(defaults.runtime),
            network: oci.network_mode.unwrap_or(defaults.network),
            snapshotter: oci.snapshotter.unwrap_or(defaults.snapshotter),
            entitlements: file.insecure_entitlements,
            max_parallelism: oci.max_parallelism.filter(|limit| *limit > 0),
            registries: file.registry,
            gc: GcConfig {
                gc: oci.gc,
                keep_storage: oci.gckeepstorage,
                reserved_space: oci.reserved_space,
                max_used_space: oci.max_used_space,
                min_free_space: oci.min_free_space,
                policies: oci.gcpolicy,
            },
            history: file.history.map(HistoryLimits::check).transpose()?.unwrap_or(defaults.history),
            log_limits: defaults.log_limits,
            frontends: file.frontend,
            exit_when_idle: false,
        })
    }
}

impl HistoryLimits {
    /// A table that is there sets both: what it leaves out is zero, as in BuildKit.
    fn check(self) -> std::result::Result<Limits, String> {
        let age = match self.max_age {
            None => Duration::ZERO,
            Some(Span::Seconds(seconds)) => Duration::from_secs(seconds),
            Some(Span::Text(text)) => {
                let seconds = text.parse().ok().map(Duration::from_secs);
                seconds.or_else(|| duration::parse(&text)).ok_or_else(|| {
                    format!("history.maxAge {text:?} is no length of time: write seconds, or for example 48h")
                })?
            }
        };
        Ok(Limits { age, entries: self.max_entries.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named() {
        let config =
            Config::parse("[worker.oci]\nmax-parallelism = 4\n[registry.\"docker.io\"]\nhttp = true")
                .unwrap();
        assert_eq!(config.max_parallelism, Some(4));
        assert!(config.registries["docker.io"].http);
        assert_eq!(config.history, Limits::default());
        let limits = |text: &str| Config::parse(&format!("[history]\n{text}")).map(|config| config.history);
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(limits("maxAge = 86400\nmaxEntries = 7"), Ok(Limits { age: day, entries: 7 }));
        assert_eq!(limits("maxAge = \"24h\""), Ok(Limits { age: day, entries: 0 }));
        assert!(limits("maxAge = \"soon\"").unwrap_err().contains("soon"));
        let error = Config::parse("[worker.oci]\nfrobnicate = 1").unwrap_err();
        assert!(error.contains("frobnicate"), "{error}");
    }
}
