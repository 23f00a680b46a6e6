//! Which worker a daemon has, and what is set for the one on containerd: flags of `slipway daemon` and `buildkitd`, under
//! the reference's names.

use clap::Args;
use slipway_daemon::config::Config;

use crate::error::Failure;

#[derive(Args, Debug, Default)]
pub struct WorkerFlags {
    /// Whether there is the embedded worker: true, false or auto
    #[arg(long, value_name = "BOOL")]
    oci_worker: Option<String>,
    /// Whether builds run on a containerd instead: true, false or auto (if the embedded worker is switched off)
    #[arg(long, value_name = "BOOL")]
    containerd_worker: Option<String>,
    /// containerd's socket [default: /run/containerd/containerd.sock]
    #[arg(long, value_name = "PATH")]
    containerd_worker_addr: Option<String>,
    /// Namespace of containerd [default: buildkit]
    #[arg(long, value_name = "NAME")]
    containerd_worker_namespace: Option<String>,
    /// One of containerd's snapshotters [default: overlayfs]
    #[arg(long, value_name = "NAME")]
    containerd_worker_snapshotter: Option<String>,
    /// One of containerd's runtimes [default: io.containerd.runc.v2]
    #[arg(long, value_name = "NAME")]
    containerd_worker_runtime: Option<String>,
    /// Labels of the worker on containerd: KEY=VALUE
    #[arg(long, value_name = "LABEL")]
    containerd_worker_labels: Vec<String>,
    /// Platforms that it offers
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    containerd_worker_platform: Vec<String>,
    /// Network of its steps that ask for none in particular
    #[arg(long, value_name = "MODE")]
    containerd_worker_net: Option<String>,
    /// Its steps that run at once; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    containerd_max_parallelism: Option<usize>,
    /// Prune its cache without being asked
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = yes_or_no)]
    containerd_worker_gc: Option<bool>,
    /// What pruning keeps of it: RESERVED[,FREE[,MAXIMUM]], in MB or as 10%
    #[arg(long, value_name = "AMOUNTS")]
    containerd_worker_gc_keepstorage: Option<String>,
}

impl WorkerFlags {
    /// What was typed goes over what was written.
    pub fn apply(self, config: &mut Config) -> Result<(), Failure> {
        config.embedded = switch("--oci-worker", self.oci_worker.as_deref(), config.embedded)?;
        let own = &mut config.containerd;
        own.enabled = switch("--containerd-worker", self.containerd_worker.as_deref(), own.enabled)?;
        let texts = [
            (&mut own.address, self.containerd_worker_addr),
            (&mut own.namespace, self.containerd_worker_namespace),
            (&mut own.snapshotter, self.containerd_worker_snapshotter),
            (&mut own.runtime.name, self.containerd_worker_runtime),
            (&mut own.network_mode, self.containerd_worker_net),
        ];
        for (place, flag) in texts {
            if let Some(value) = flag.filter(|value| !value.is_empty()) {
                *place = value;
            }
        }
        for label in &self.containerd_worker_labels {
            let (key, value) = label.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--containerd-worker-labels {label:?}: write KEY=VALUE"))
            })?;
            own.labels.insert(key.to_owned(), value.to_owned());
        }
        if !self.containerd_worker_platform.is_empty() {
            own.platforms = self.containerd_worker_platform;
        }
        own.max_parallelism = self.containerd_max_parallelism.unwrap_or(own.max_parallelism);
        own.gc.gc = self.containerd_worker_gc.or(own.gc.gc);
        if let Some(amounts) = &self.containerd_worker_gc_keepstorage {
            let set = own.gc.set_keep_storage(amounts);
            set.map_err(|reason| Failure::usage(format!("--containerd-worker-gc-keepstorage: {reason}")))?;
        }
        Ok(())
    }
}

/// `auto` takes back what was written; nothing leaves it.
fn switch(flag: &str, text: Option<&str>, written: Option<bool>) -> Result<Option<bool>, Failure> {
    match text {
        None | Some("") => Ok(written),
        Some(auto) if auto.eq_ignore_ascii_case("auto") => Ok(None),
        Some(text) => yes_or_no(text)
            .map(Some)
            .map_err(|_| Failure::usage(format!("{flag} {text:?}: use true, false or auto"))),
    }
}

/// The spellings of Go's `strconv.ParseBool`.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("use true or false".into()),
    }
}
