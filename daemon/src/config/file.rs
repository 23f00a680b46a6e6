//! The keys of the file that are honoured, typed. [`super::keys`] has taken out all others.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipway_worker::devices::DeviceOptions;

use super::{Config, Containerd, Log, NetworkConfig, SocketOwner, TlsFiles};
use crate::Frontends;
use crate::gc::{GcConfig, KeepDuration};
use crate::history::Limits;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    debug: bool,
    trace: bool,
    root: Option<PathBuf>,
    #[serde(rename = "insecure-entitlements")]
    insecure_entitlements: Vec<String>,
    #[serde(rename = "provenanceEnvDir")]
    provenance_environment: Option<PathBuf>,
    log: LogSection,
    grpc: Grpc,
    otel: Otel,
    dns: Dns,
    cdi: Cdi,
    history: HistorySection,
    worker: Workers,
    registry: BTreeMap<String, Registry>,
    /// A folder in containerd's form.
    #[serde(rename = "registryHosts")]
    pub(super) registry_hosts: Option<PathBuf>,
    frontend: Frontends,
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
struct Cdi {
    disabled: bool,
    #[serde(rename = "specDirs")]
    spec_dirs: Vec<PathBuf>,
    #[serde(rename = "autoAllowed")]
    auto_allowed: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct HistorySection {
    #[serde(rename = "maxAge")]
    max_age: Option<KeepDuration>,
    #[serde(rename = "maxEntries")]
    max_entries: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Workers {
    oci: OciWorker,
    containerd: Containerd,
}

/// The collection's keys stand beside the others, not in a table of their own.
#[derive(Deserialize, Default)]
#[serde(default)]
struct OciWorker {
    enabled: Option<bool>,
    labels: BTreeMap<String, String>,
    platforms: Vec<String>,
    snapshotter: String,
    #[serde(rename = "networkMode")]
    network_mode: String,
    #[serde(rename = "cniConfigPath")]
    cni_config_path: PathBuf,
    #[serde(rename = "cniBinaryPath")]
    cni_binary_path: PathBuf,
    #[serde(rename = "cniPoolSize")]
    cni_pool_size: usize,
    #[serde(rename = "bridgeName")]
    bridge_name: String,
    #[serde(rename = "bridgeSubnet")]
    bridge_subnet: String,
    binary: String,
    #[serde(rename = "defaultCgroupParent")]
    default_cgroup_parent: String,
    #[serde(rename = "max-parallelism")]
    max_parallelism: usize,
    #[serde(flatten)]
    gc: GcConfig,
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

impl File {
    pub(super) fn into_config(self) -> Result<Config, String> {
        let defaults = Config::default();
        let log = self.log()?;
        let (grpc, oci) = (self.grpc, self.worker.oci);
        let or = |text: String, default: String| if text.is_empty() { default } else { text };
        let or_path =
            |path: PathBuf, default: PathBuf| if path.as_os_str().is_empty() { default } else { path };
        Ok(Config {
            root: self.root,
            listen: grpc.address,
            socket_owner: SocketOwner { user: grpc.uid, group: grpc.gid },
            tls: tls_files(grpc.tls)?,
            debug_address: Some(grpc.debug_address).filter(|address| !address.is_empty()),
            log,
            trace_socket: Some(self.otel.socket_path).filter(|path| !path.as_os_str().is_empty()),
            embedded: oci.enabled,
            containerd: self.worker.containerd.or_defaults(),
            runtime: or(oci.binary, defaults.runtime),
            network: NetworkConfig {
                mode: or(oci.network_mode, defaults.network.mode),
                bridge_name: or(oci.bridge_name, defaults.network.bridge_name),
                bridge_subnet: or(oci.bridge_subnet, defaults.network.bridge_subnet),
                cni_config: or_path(oci.cni_config_path, defaults.network.cni_config),
                cni_binaries: or_path(oci.cni_binary_path, defaults.network.cni_binaries),
                pool_size: oci.cni_pool_size,
            },
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
            devices: DeviceOptions {
                disabled: self.cdi.disabled,
                folders: match self.cdi.spec_dirs {
                    none if none.is_empty() => defaults.devices.folders,
                    folders => folders,
                },
                auto_allowed: self.cdi.auto_allowed,
            },
            cgroup_parent: oci.default_cgroup_parent,
            frontends: self.frontend,
            history: Limits {
                age: self.history.max_age.map_or(defaults.history.age, |age| age.0),
                entries: self.history.max_entries.unwrap_or(defaults.history.entries),
            },
            gc: oci.gc,
            log_limits: defaults.log_limits,
            registries: self.registry,
            provenance_environment: provenance_environment(self.provenance_environment)?,
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

/// A reasonable fact is not larger.
const LARGEST_FACT: u64 = 1 << 20;

/// Where the reference looks, if nothing is said.
const FACTS: &str = "/etc/buildkit/provenance.d";

/// The facts of all `*.json` files of `folder`, in the order of their names; later ones count.
fn provenance_environment(folder: Option<PathBuf>) -> Result<BTreeMap<String, serde_json::Value>, String> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| FACTS.into());
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| format!("provenanceEnvDir: {}: {error}", path.display());
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| failed(&folder, &error))?,
    };
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| failed(&folder, &error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json") && path.is_file());
    paths.sort();
    let mut facts = BTreeMap::new();
    for path in paths {
        let mut text = String::new();
        let file = std::fs::File::open(&path).map_err(|error| failed(&path, &error))?;
        file.take(LARGEST_FACT).read_to_string(&mut text).map_err(|error| failed(&path, &error))?;
        let read: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| failed(&path, &error))?;
        facts.extend(read);
    }
    for builtin in ["buildConfig", "builderPlatform", "platform", "dockerfileVersion"] {
        if facts.contains_key(builtin) {
            return Err(format!("provenanceEnvDir: {builtin:?} is a fact of the builder, not of a file"));
        }
    }
    Ok(facts)
}
