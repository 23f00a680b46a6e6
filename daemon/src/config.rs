//! What a daemon is started with: the file, in the form of `buildkitd.toml`, and what was typed.
//!
//! ```text
//! file text ─> keys (each known, honoured, unused or refused) ─> file (typed) ─> Config <─ flags
//! ```
//!
//! No key is silently ignored. [`keys`] says what becomes of each: one that would change what a build
//! does or may do and is not supported is an error, one that only tunes what works differently here is
//! a warning, and one that nobody knows is an error. `docs/buildkitd.md` is the same table for people.

mod containerd;
mod file;
mod hosts;
mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use containerd::{Containerd, Runtime, RuntimeOptions, WorkerKind};
pub use file::{KeyPair, Registry};
use slipway_worker::devices::DeviceOptions;

use crate::gc::GcConfig;
use crate::history::Limits;
pub use crate::network::NetworkConfig;
use crate::{Error, Frontends, LogLimits, Result};

#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything rests.
    pub root: Option<PathBuf>,
    /// `unix://PATH`, `tcp://HOST:PORT`, `fd://`.
    pub listen: Vec<String>,
    /// Who owns the unix sockets.
    pub socket_owner: SocketOwner,
    /// For TCP; without it, TCP is plain.
    pub tls: Option<TlsFiles>,
    /// Where metrics are served: `HOST:PORT` or `unix://PATH`.
    pub debug_address: Option<String>,
    pub log: Log,
    /// A unix socket of its own for spans of steps and clients.
    pub trace_socket: Option<PathBuf>,
    /// Whether the embedded worker is wanted; `None` is `auto`.
    pub embedded: Option<bool>,
    /// The other worker. What it has under the names of the fields here goes for these if it is the one there is.
    pub containerd: Containerd,
    /// `builtin`, or an OCI runtime.
    pub runtime: String,
    pub network: NetworkConfig,
    /// `auto`, `overlayfs` or `native`.
    pub snapshotter: String,
    /// `network.host`, `security.insecure`, `device`.
    pub entitlements: Vec<String>,
    /// Operations that run at once; `None` is no limit.
    pub max_parallelism: Option<usize>,
    /// Added to what the worker says about itself.
    pub labels: BTreeMap<String, String>,
    /// What the worker offers to build for; empty is what it finds out.
    pub platforms: Vec<String>,
    pub dns: slipway_run::Dns,
    pub devices: DeviceOptions,
    /// Control groups of steps are made below it.
    pub cgroup_parent: String,
    pub frontends: Frontends,
    pub history: Limits,
    /// What may stay in the store.
    pub gc: GcConfig,
    /// What one step may say; nothing is left out by default.
    pub log_limits: LogLimits,
    pub registries: BTreeMap<String, Registry>,
    /// Facts for provenance, out of files.
    pub provenance_environment: BTreeMap<String, serde_json::Value>,
    /// End when no client has been there for a moment.
    pub exit_when_idle: bool,
    /// What the file holds and has no effect, in words; for the log.
    pub warnings: Vec<String>,
}

/// `None` is who runs the daemon. A group that is named may use the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// With it, clients must show a certificate that one of these authorities signed.
    pub client_authorities: Option<PathBuf>,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn`, `error`.
    pub level: Option<String>,
    pub json: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: None,
            listen: Vec::new(),
            socket_owner: SocketOwner::default(),
            tls: None,
            debug_address: None,
            log: Log::default(),
            trace_socket: None,
            embedded: None,
            containerd: Containerd::default(),
            runtime: "builtin".into(),
            network: NetworkConfig::default(),
            snapshotter: "auto".into(),
            entitlements: Vec::new(),
            max_parallelism: None,
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            dns: slipway_run::Dns::default(),
            devices: DeviceOptions::default(),
            cgroup_parent: String::new(),
            frontends: Frontends::default(),
            history: Limits::default(),
            gc: GcConfig::default(),
            log_limits: LogLimits::default(),
            registries: BTreeMap::new(),
            provenance_environment: BTreeMap::new(),
            exit_when_idle: false,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::ConfigRead { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|reason| Error::Config { path: path.to_owned(), reason })
    }

    /// As [`Config::read`]; a file that is not there is one that says nothing.
    pub fn read_if_there(path: &Path) -> Result<Self> {
        match Self::read(path) {
            Err(Error::ConfigRead { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let checked = keys::check(table)?;
        let file: file::File =
            checked.table.try_into().map_err(|error: toml::de::Error| error.to_string())?;
        let folder = file.registry_hosts.clone();
        let mut config = file.into_config()?;
        if let Some(folder) = folder {
            hosts::read(&folder, &mut config.registries)?;
        }
        config.warnings = checked.warnings;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gc::DiskSpace;

    #[test]
    fn an_unknown_key_is_named() {
        let config =
            Config::parse("[worker.oci]\nmax-parallelism = 4\n[registry.\"docker.io\"]\nhttp = true")
                .unwrap();
        assert_eq!(config.max_parallelism, Some(4));
        assert_eq!(config.registries["docker.io"].http, Some(true));
        let error = Config::parse("[worker.oci]\nfrobnicate = 1").unwrap_err();
        assert!(error.contains("worker.oci.frobnicate"), "{error}");
    }

    #[test]
    fn everything_that_is_honoured_arrives() {
        let config = Config::parse(
            r#"
            root = "/state"
            insecure-entitlements = ["network.host"]
            [log]
            format = "json"
            level = "debug"
            [grpc]
            address = ["tcp://0.0.0.0:1234", "unix:///run/x.sock"]
            debugAddress = "127.0.0.1:6060"
            uid = 7
            gid = 8
            [grpc.tls]
            cert = "/c.pem"
            key = "/k.pem"
            ca = "/ca.pem"
            [otel]
            socketPath = "/run/otel.sock"
            [dns]
            nameservers = ["1.1.1.1"]
            options = ["edns0"]
            searchDomains = ["example"]
            [history]
            maxAge = 172800
            maxEntries = 50
            [worker.oci]
            enabled = true
            binary = "runc"
            networkMode = "host"
            snapshotter = "native"
            max-parallelism = 4
            defaultCgroupParent = "/builds"
            gc = false
            reservedSpace = "10%"
            maxUsedSpace = "512MB"
            platforms = ["linux/amd64"]
            labels = { "com.example.a" = "b" }
            [[worker.oci.gcpolicy]]
            keepBytes = 1000
            keepDuration = "48h"
            filters = ["type==source.local"]
            [[worker.oci.gcpolicy]]
            all = true
            [registry."a.example"]
            mirrors = ["m.example"]
            ca = ["/x.pem"]
            keypair = [{ key = "/k", cert = "/c" }]
            tlsconfigdir = ["/etc/certs"]
            [frontend."dockerfile.v0"]
            enabled = false
            [frontend."gateway.v0"]
            allowedRepositories = ["docker/dockerfile"]
            "#,
        )
        .unwrap();
        assert_eq!(config.warnings, [""; 0]);
        assert_eq!(config.socket_owner, SocketOwner { user: Some(7), group: Some(8) });
        assert_eq!(config.tls.unwrap().client_authorities, Some("/ca.pem".into()));
        assert!(config.log.json);
        assert_eq!(config.history.age, Duration::from_secs(48 * 3600));
        assert_eq!(config.dns.search_domains, ["example"]);
        assert_eq!(config.cgroup_parent, "/builds");
        let collection = config.gc;
        assert_eq!(collection.gc, Some(false));
        assert_eq!(collection.reserved_space, DiskSpace::Percent(10));
        assert_eq!(collection.max_used_space, DiskSpace::Bytes(512 << 20));
        assert_eq!(collection.policies[0].keep_bytes, DiskSpace::Bytes(1000));
        assert_eq!(collection.policies[0].keep_duration.0, Duration::from_secs(48 * 3600));
        assert!(collection.policies[1].all);
        assert!(!config.frontends.allows("dockerfile.v0") && config.frontends.allows("gateway.v0"));
        assert_eq!(config.registries["a.example"].keypair[0].cert, PathBuf::from("/c"));
    }

    #[test]
    fn half_of_a_key_pair_is_refused() {
        let error = Config::parse("[grpc.tls]\ncert = \"/c.pem\"").unwrap_err();
        assert!(error.contains("grpc.tls"), "{error}");
    }
}
