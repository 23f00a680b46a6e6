//! `buildkitd`: the daemon, started as BuildKit's is.
//!
//! Flags go over the file, the file over the defaults. All of the reference's flags are there; one that
//! asks for what is not supported ends the program, one that only tunes is named in the log.

mod defaults;
mod flags;
mod group;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use slipway_daemon::LogLimits;
use slipway_daemon::config::{Config, TlsFiles};

use crate::daemon;
use crate::error::Failure;
pub use defaults::address as default_address;
use flags::Flags;

pub fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let flags = Flags::parse_from(words);
    let mut config = read(&flags)?;
    let mut unused = flags.refuse_unsupported()?;
    apply(flags, &mut config)?;
    config.warnings.append(&mut unused);
    daemon::start_logging(&config.log)?;
    daemon::serve(config)
}

/// The file that is named must be there, the usual one need not.
fn read(flags: &Flags) -> Result<Config, Failure> {
    let read = match &flags.config {
        Some(path) => Config::read(path),
        None => Config::read_if_there(&defaults::config_file()),
    };
    read.map_err(|error| Failure::new(error.to_string()))
}

fn apply(flags: Flags, config: &mut Config) -> Result<(), Failure> {
    let root = flags.root.or(config.root.take()).unwrap_or_else(defaults::root);
    config.root = Some(
        std::path::absolute(&root)
            .map_err(|error| Failure::usage(format!("--root {}: {error}", root.display())))?,
    );
    if !flags.addr.is_empty() {
        config.listen = flags.addr;
    }
    if config.listen.is_empty() {
        config.listen = vec![defaults::address()];
    }
    if let Some(group) = &flags.group {
        config.socket_owner.group = Some(group::id(group)?);
    }
    config.tls = tls(config.tls.take(), flags.tlscert, flags.tlskey, flags.tlscacert)?;
    config.debug_address =
        flags.debugaddr.filter(|address| !address.is_empty()).or(config.debug_address.take());
    config.log.level = level(flags.trace, flags.debug, flags.log_level).or(config.log.level.take());
    if let Some(format) = &flags.log_format {
        config.log.json = daemon::is_json(format)?;
    }
    config.trace_socket = flags.otel_socket_path.or(config.trace_socket.take());
    if !flags.allow_insecure_entitlement.is_empty() {
        config.entitlements = flags.allow_insecure_entitlement;
    }
    for label in &flags.oci_worker_labels {
        let (key, value) = label
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--oci-worker-labels {label:?}: write KEY=VALUE")))?;
        config.labels.insert(key.to_owned(), value.to_owned());
    }
    set(&mut config.snapshotter, flags.oci_worker_snapshotter);
    set(&mut config.network.mode, flags.oci_worker_net);
    set_path(&mut config.network.cni_config, flags.oci_cni_config_path);
    set_path(&mut config.network.cni_binaries, flags.oci_cni_binary_dir);
    config.network.pool_size = flags.oci_cni_pool_size.unwrap_or(config.network.pool_size);
    config.devices.disabled = flags.cdi_disabled.unwrap_or(config.devices.disabled);
    if !flags.cdi_spec_dir.is_empty() {
        config.devices.folders = flags.cdi_spec_dir;
    }
    set(&mut config.runtime, flags.oci_worker_binary);
    if !flags.oci_worker_platform.is_empty() {
        config.platforms = flags.oci_worker_platform;
    }
    if let Some(limit) = flags.oci_max_parallelism {
        config.max_parallelism = Some(limit).filter(|limit| *limit > 0);
    }
    config.gc.gc = flags.oci_worker_gc.or(config.gc.gc);
    if let Some(amounts) = &flags.oci_worker_gc_keepstorage {
        let set = config.gc.set_keep_storage(amounts);
        set.map_err(|reason| Failure::usage(format!("--oci-worker-gc-keepstorage: {reason}")))?;
    }
    flags.workers.apply(config)?;
    config.log_limits = LogLimits {
        size: log_limit("BUILDKIT_STEP_LOG_MAX_SIZE")?,
        speed: log_limit("BUILDKIT_STEP_LOG_MAX_SPEED")?,
    };
    Ok(())
}

fn set(place: &mut String, flag: Option<String>) {
    if let Some(value) = flag.filter(|value| !value.is_empty()) {
        *place = value;
    }
}

fn set_path(place: &mut PathBuf, flag: Option<PathBuf>) {
    if let Some(value) = flag.filter(|value| !value.as_os_str().is_empty()) {
        *place = value;
    }
}

fn level(trace: bool, debug: bool, level: Option<String>) -> Option<String> {
    match (trace, debug) {
        (true, _) => Some("trace".into()),
        (_, true) => Some("debug".into()),
        _ => level.filter(|level| !level.is_empty()),
    }
}

/// What was typed over what was written, each file for itself.
fn tls(
    written: Option<TlsFiles>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authorities: Option<PathBuf>,
) -> Result<Option<TlsFiles>, Failure> {
    let (mut old_certificate, mut old_key, mut old_authorities) = (None, None, None);
    if let Some(written) = written {
        (old_certificate, old_key) = (Some(written.certificate), Some(written.key));
        old_authorities = written.client_authorities;
    }
    let client_authorities = authorities.or(old_authorities);
    match (certificate.or(old_certificate), key.or(old_key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, client_authorities })),
        (None, None) if client_authorities.is_none() => Ok(None),
        _ => Err(Failure::usage("TLS needs both --tlscert and --tlskey")),
    }
}

/// Bytes that one stream of a step may say, from the environment; what is negative limits nothing.
fn log_limit(variable: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes: i64 = text.parse().map_err(|_| {
        Failure::usage(format!("{variable}={text}: write a number of bytes, or -1 for no limit"))
    })?;
    Ok(u64::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use slipway_daemon::gc::DiskSpace;

    use super::*;

    fn flags(words: &[&str]) -> Flags {
        Flags::try_parse_from([&["buildkitd"], words].concat()).unwrap()
    }

    #[test]
    fn what_was_typed_goes_over_what_was_written() {
        let mut config = Config::default();
        config.network.mode = "none".into();
        config.entitlements = vec!["security.insecure".into()];
        let words =
            ["--root", "/r", "--addr", "tcp://0.0.0.0:1", "--addr", "unix:///s", "--oci-worker-gc=false"];
        let more =
            ["--oci-worker-gc-keepstorage", "10%,2000", "--allow-insecure-entitlement", "network.host"];
        apply(flags(&[&words[..], &more].concat()), &mut config).unwrap();
        assert_eq!(config.listen, ["tcp://0.0.0.0:1", "unix:///s"]);
        assert_eq!(config.network.mode, "none");
        assert_eq!(config.entitlements, ["network.host"]);
        assert_eq!(config.gc.gc, Some(false));
        assert_eq!(config.gc.reserved_space, DiskSpace::Percent(10));
        assert_eq!(config.gc.min_free_space, DiskSpace::Bytes(2_000_000_000));
    }

    #[test]
    fn the_flags_of_drivers_are_accepted() {
        let rootless = ["--oci-worker-no-process-sandbox", "--rootless", "--containerd-worker=false"];
        let given = ["--oci-worker=true", "--debug", "--cdi-disabled=true", "--save-cache-debug"];
        let unused = flags(&[&rootless[..], &given].concat()).refuse_unsupported().unwrap();
        assert!(unused.iter().any(|warning| warning.contains("no-process-sandbox")), "{unused:?}");
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for word in ["--containerd-worker-selinux", "--proxy-network", "--oci-worker-selinux"] {
            let failure = flags(&[word]).refuse_unsupported().unwrap_err();
            let name = word.split('=').next().unwrap();
            assert!(failure.message.contains(name), "{}", failure.message);
        }
    }

    #[test]
    fn the_worker_on_containerd_is_configured() {
        let mut config = Config::default();
        config.containerd.namespace = "written".into();
        let words = ["--oci-worker=false", "--containerd-worker=true", "--containerd-worker-addr", "/c.sock"];
        let more = ["--containerd-worker-labels", "a=b", "--containerd-worker-snapshotter=native"];
        apply(flags(&[&words[..], &more].concat()), &mut config).unwrap();
        assert_eq!((config.embedded, config.containerd.enabled), (Some(false), Some(true)));
        assert_eq!(config.containerd.address, "/c.sock");
        assert_eq!(config.containerd.namespace, "written");
        assert_eq!(config.containerd.snapshotter, "native");
        assert_eq!(config.containerd.labels["a"], "b");
        apply(flags(&["--containerd-worker=auto"]), &mut config).unwrap();
        assert_eq!((config.embedded, config.containerd.enabled), (Some(false), None));
        assert!(apply(flags(&["--containerd-worker=perhaps"]), &mut config).is_err());
    }

    #[test]
    fn half_of_a_key_pair_is_refused() {
        assert!(tls(None, Some("/c".into()), None, None).is_err());
        let written = TlsFiles { certificate: "/c".into(), key: "/k".into(), client_authorities: None };
        let both = tls(Some(written), None, Some("/other".into()), None).unwrap().unwrap();
        assert_eq!(both.key, PathBuf::from("/other"));
    }
}
