//! The flags of `buildkitd`, all of them, under the reference's names.

use std::path::PathBuf;

use clap::Parser;

use crate::error::Failure;
use crate::version;
use crate::workers::{WorkerFlags, yes_or_no};

#[derive(Parser, Debug)]
#[command(name = "buildkitd", version = version::words(), disable_version_flag = true)]
#[command(about = "Serve builds, in the form of BuildKit's daemon")]
pub struct Flags {
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Configuration file [default: /etc/buildkit/buildkitd.toml, or below ~/.config]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more in the log
    #[arg(long)]
    pub debug: bool,
    #[arg(long, hide = true)]
    pub trace: bool,
    /// State directory [default: /var/lib/buildkit, or below ~/.local/share]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Where to listen: unix://PATH, tcp://HOST:PORT or fd://; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub addr: Vec<String>,
    /// json or text
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", env = "BUILDKITD_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Group, by name or number, that may use the unix sockets
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Where metrics are served: HOST:PORT or unix://PATH
    #[arg(long, value_name = "ADDRESS", env = "BUILDKITD_DEBUGADDR")]
    pub debugaddr: Option<String>,
    /// Certificate of the TCP listeners, PEM
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Authorities whose certificates clients must show, PEM
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// Allow builds to ask for network.host, security.insecure or device
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow_insecure_entitlement: Vec<String>,
    /// A unix socket of its own for traces
    #[arg(long, value_name = "PATH")]
    pub otel_socket_path: Option<PathBuf>,
    /// Labels of the worker: KEY=VALUE
    #[arg(long, value_name = "LABEL")]
    pub oci_worker_labels: Vec<String>,
    /// Snapshotter: auto, overlayfs or native
    #[arg(long, value_name = "NAME")]
    pub oci_worker_snapshotter: Option<String>,
    /// Platforms that the worker offers
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub oci_worker_platform: Vec<String>,
    /// Network of steps that ask for none in particular: auto, bridge, cni, host or none
    #[arg(long, value_name = "MODE")]
    pub oci_worker_net: Option<String>,
    /// Offer no devices of the Container Device Interface
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    pub cdi_disabled: Option<bool>,
    /// Folders with their specifications
    #[arg(long, value_name = "DIR")]
    pub cdi_spec_dir: Vec<PathBuf>,
    /// Configuration of the network of cni
    #[arg(long, value_name = "FILE")]
    pub oci_cni_config_path: Option<PathBuf>,
    /// Where its plugins are
    #[arg(long, value_name = "DIR")]
    pub oci_cni_binary_dir: Option<PathBuf>,
    /// Network namespaces that are kept for steps to come
    #[arg(long, value_name = "NUMBER")]
    pub oci_cni_pool_size: Option<usize>,
    /// Runtime of steps: builtin, or the path or name of an OCI runtime such as runc
    #[arg(long, value_name = "BINARY")]
    pub oci_worker_binary: Option<String>,
    /// Steps that run at once; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub oci_max_parallelism: Option<usize>,
    /// Prune the cache without being asked
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    pub oci_worker_gc: Option<bool>,
    /// What pruning keeps: RESERVED[,FREE[,MAXIMUM]], in MB or as 10%
    #[arg(long, value_name = "AMOUNTS")]
    pub oci_worker_gc_keepstorage: Option<String>,
    #[command(flatten)]
    pub workers: WorkerFlags,
    #[command(flatten)]
    fixed: Fixed,
}

/// Flags whose only acceptable values are those that change nothing here, and flags of what works
/// differently.
#[derive(clap::Args, Debug)]
struct Fixed {
    /// Accepted: a daemon that is not root finds out by itself
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    rootless: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    oci_worker_rootless: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    oci_worker_no_process_sandbox: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    save_cache_debug: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    proxy_network: Option<bool>,
    #[arg(long, hide = true)]
    oci_worker_proxy_snapshotter_path: Option<String>,
    #[arg(long, hide = true)]
    oci_worker_apparmor_profile: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    oci_worker_selinux: Option<bool>,
    #[arg(long, hide = true)]
    containerd_cni_config_path: Option<String>,
    #[arg(long, hide = true)]
    containerd_cni_binary_dir: Option<String>,
    #[arg(long, hide = true)]
    containerd_cni_pool_size: Option<u32>,
    #[arg(long, hide = true)]
    containerd_worker_apparmor_profile: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    containerd_worker_selinux: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    containerd_worker_rootless: Option<bool>,
}

impl Flags {
    /// Ends where a flag asks for what builds would miss; names those that have no effect.
    pub fn refuse_unsupported(&self) -> Result<Vec<String>, Failure> {
        let fixed = &self.fixed;
        let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let refused = [
            ("--proxy-network", fixed.proxy_network == Some(true), "builds have no proxy network"),
            ("--oci-worker-selinux", fixed.oci_worker_selinux == Some(true), "steps get no SELinux labels"),
            (
                "--oci-worker-apparmor-profile",
                named(&fixed.oci_worker_apparmor_profile),
                "steps get no AppArmor profile",
            ),
            (
                "--oci-worker-proxy-snapshotter-path",
                named(&fixed.oci_worker_proxy_snapshotter_path),
                "snapshotters of other processes are not supported",
            ),
            (
                "--containerd-worker-selinux",
                fixed.containerd_worker_selinux == Some(true),
                "steps get no SELinux labels",
            ),
            (
                "--containerd-worker-apparmor-profile",
                named(&fixed.containerd_worker_apparmor_profile),
                "steps get no AppArmor profile",
            ),
        ];
        if let Some((flag, _, why)) = refused.iter().find(|(_, given, _)| *given) {
            return Err(Failure::usage(format!("{flag} is not supported: {why}")));
        }
        let networks = "steps of containerd's use the host's network or none";
        let unused = [
            (
                "--oci-worker-no-process-sandbox",
                fixed.oci_worker_no_process_sandbox == Some(true),
                "steps keep process namespaces of their own",
            ),
            (
                "--save-cache-debug",
                fixed.save_cache_debug == Some(true),
                "what goes into a cache key is always kept",
            ),
            ("--containerd-cni-config-path", named(&fixed.containerd_cni_config_path), networks),
            ("--containerd-cni-binary-dir", named(&fixed.containerd_cni_binary_dir), networks),
            ("--containerd-cni-pool-size", fixed.containerd_cni_pool_size.unwrap_or(0) > 0, networks),
        ];
        let given = unused.iter().filter(|(_, given, _)| *given);
        Ok(given.map(|(flag, _, why)| format!("{flag} has no effect: {why}")).collect())
    }
}
