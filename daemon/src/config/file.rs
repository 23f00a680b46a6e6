//! The keys of the file that are honoured, typed. [`super::keys`] has taken out all others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values::{DiskSpace, duration};
use super::{Config, Frontends, History, Log, SocketOwner, TlsFiles};

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    debug: bool,
    trace: bool,
    root: Option<PathBuf>,
    #[serde(rename = "insecure-entitlements")]
    insecure_entitlements: Vec<String>,
    log: LogSection,
    grpc: Grpc,
    otel: Otel,
    dns: Dns,
    history: HistorySection,
    worker: Workers,
    registry: BTreeMap<String, Registry>,
    frontend: FrontendSection,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct LogSection {
    format: String,
    level: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Grpc {
    address: Vec<String>,
    #[serde(rename = "debugAddress")]
    debug_address: String,
    uid: Option<u32>,
    gid: Option<u32>,
    tls: Tls,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Tls {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Otel {
    #[serde(rename = "socketPath")]
    socket_path: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Dns {
    nameservers: Vec<String>,
    options: Vec<String>,
    #[serde(rename = "searchDomains")]
    search_domains: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct HistorySection {
    #[serde(rename = "maxAge", deserialize_with = "duration")]
    max_age: Option<Duration>,
    #[serde(rename = "maxEntries")]
    max_entries: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Workers {
    oci: OciWorker,
}

/// The collection's keys stand beside the others, not in a table of their own.
#[derive(Deserialize, Default)]
#[serde(default)]
struct OciWorker {
    labels: BTreeMap<String, String>,
    platforms: Vec<String>,
    snapshotter: String,
    #[serde(rename = "networkMode")]
    network_mode: String,
    binary: String,
    #[serde(rename = "defaultCgroupParent")]
    default_cgroup_parent: String,
    #[serde(rename = "max-parallelism")]
    max_parallelism: usize,
    #[serde(flatten)]
    garbage_collection: GarbageCollection,
}

/// `[worker.oci]`: when the cache is pruned without being asked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct GarbageCollection {
    /// `None` is yes.
    #[serde(rename = "gc")]
    pub enabled: Option<bool>,
    /// The old name of `reserved_space`.
    #[serde(rename = "gckeepstorage")]
    pub keep_storage: Option<DiskSpace>,
    #[serde(rename = "reservedSpace")]
    pub reserved_space: Option<DiskSpace>,
    #[serde(rename = "maxUsedSpace")]
    pub max_used_space: Option<DiskSpace>,
    #[serde(rename = "minFreeSpace")]
    pub min_free_space: Option<DiskSpace>,
    /// `[[worker.oci.gcpolicy]]`; empty means the default policies.
    #[serde(rename = "gcpolicy")]
    pub policies: Vec<GarbagePolicy>,
}

/// One `[[worker.oci.gcpolicy]]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct GarbagePolicy {
    pub all: bool,
    pub filters: Vec<String>,
    #[serde(rename = "keepDuration", deserialize_with = "duration")]
    pub keep_duration: Option<Duration>,
    /// The old name of `reserved_space`.
    #[serde(rename = "keepBytes")]
    pub keep_bytes: Option<DiskSpace>,
    #[serde(rename = "reservedSpace")]
    pub reserved_space: Option<DiskSpace>,
    #[serde(rename = "maxUsedSpace")]
    pub max_used_space: Option<DiskSpace>,
    #[serde(rename = "minFreeSpace")]
    pub min_free_space: Option<DiskSpace>,
}

/// `[registry."HOST"]`: how to reach one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    pub mirrors: Vec<String>,
    /// Plain HTTP; `None` is for loopback addresses only.
    pub http: Option<bool>,
    /// TLS without checking the certificate.
    pub insecure: bool,
    /// Files with further certificate authorities.
    pub ca: Vec<PathBuf>,
    /// Certificates to show.
    pub keypair: Vec<KeyPair>,
    /// Folders in Docker's form: `*.crt` are authorities, `NAME.cert` with `NAME.key` are key pairs.
    pub tlsconfigdir: Vec<PathBuf>,
}

/// PEM files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyPair {
    pub key: PathBuf,
    pub cert: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct FrontendSection {
    #[serde(rename = "dockerfile.v0")]
    dockerfile: Frontend,
    #[serde(rename = "gateway.v0")]
    gateway: Frontend,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Frontend {
    enabled: Option<bool>,
    #[serde(rename = "allowedRepositories")]
    allowed_repositories: Vec<String>,
}

impl File {
    pub(super) fn into_config(self) -> Result<Config, String> {
        let defaults = Config::default();
        let log = self.log()?;
        let (grpc, oci) = (self.grpc, self.worker.oci);
        let or = |text: String, default: String| if text.is_empty() { default } else { text };
        Ok(Config {
            root: self.root,
            listen: grpc.address,
            socket_owner: SocketOwner { user: grpc.uid, group: grpc.gid },
            tls: tls_files(grpc.tls)?,
            debug_address: Some(grpc.debug_address).filter(|address| !address.is_empty()),
            log,
            trace_socket: Some(self.otel.socket_path).filter(|path| !path.as_os_str().is_empty()),
            runtime: or(oci.binary, defaults.runtime),
            network: or(oci.network_mode, defaults.network),
            snapshotter: or(oci.snapshotter, defaults.snapshotter),
            entitlements: self.insecure_entitlements,
            max_parallelism: Some(oci.max_parallelism).filter(|limit| *limit > 0),
            labels: oci.labels,
            platforms: oci.platforms,
            dns: slipway_run::Dns {
                nameservers: self.dns.nameservers,
                search_domains: self.dns.search_domains,
                options: self.dns.options,
            },
            cgroup_parent: oci.default_cgroup_parent,
            frontends: Frontends {
                dockerfile: self.frontend.dockerfile.enabled.unwrap_or(true),
                gateway: self.frontend.gateway.enabled.unwrap_or(true),
                allowed_repositories: self.frontend.gateway.allowed_repositories,
            },
            history: History { max_age: self.history.max_age, max_entries: self.history.max_entries },
            garbage_collection: oci.garbage_collection,
            registries: self.registry,
            exit_when_idle: false,
            warnings: Vec::new(),
        })
    }

    fn log(&self) -> Result<Log, String> {
        let json = match self.log.format.as_str() {
            "" | "text" => false,
            "json" => true,
            other => return Err(format!("log.format is {other:?}: use text or json")),
        };
        let old = match (self.trace, self.debug) {
            (true, _) => Some("trace".to_owned()),
            (_, true) => Some("debug".to_owned()),
            _ => None,
        };
        let level = Some(self.log.level.clone()).filter(|level| !level.is_empty());
        Ok(Log { level: level.or(old), json })
    }
}

/// A certificate and its key come together or not at all.
fn tls_files(tls: Tls) -> Result<Option<TlsFiles>, String> {
    let given = |path: &PathBuf| !path.as_os_str().is_empty();
    match (given(&tls.cert), given(&tls.key)) {
        (true, true) => Ok(Some(TlsFiles {
            certificate: tls.cert,
            key: tls.key,
            client_authorities: Some(tls.ca).filter(given),
        })),
        (false, false) if !given(&tls.ca) => Ok(None),
        _ => Err("grpc.tls needs both cert and key".into()),
    }
}
