//! `[worker.containerd]` and `--containerd-worker…`, and which worker there is.
//!
//! There is one worker, and unless something else is asked for it is the embedded one:
//!
//! | embedded (`oci`) | containerd | the worker |
//! |---|---|---|
//! | true, auto | auto, false | embedded |
//! | auto, false | true | containerd, or an error if it does not answer |
//! | false | auto | containerd if it answers, else an error |
//! | true | true | an error: there is one worker |
//! | false | false | an error |

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Config;
use crate::gc::GcConfig;

/// Where a containerd listens if nothing else is said.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// How to work on a containerd.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Containerd {
    /// `None` is `auto`.
    pub enabled: Option<bool>,
    /// The path of its socket, also with `unix://` before it.
    pub address: String,
    pub namespace: String,
    pub runtime: Runtime,
    pub snapshotter: String,
    pub labels: BTreeMap<String, String>,
    pub platforms: Vec<String>,
    #[serde(rename = "networkMode")]
    pub network_mode: String,
    #[serde(rename = "defaultCgroupParent")]
    pub default_cgroup_parent: String,
    /// 0 is no limit.
    #[serde(rename = "max-parallelism")]
    pub max_parallelism: usize,
    #[serde(flatten)]
    pub gc: GcConfig,
}

/// Who runs containers for containerd.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Runtime {
    pub name: String,
    pub options: RuntimeOptions,
}

/// Of `io.containerd.runc.v2`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RuntimeOptions {
    /// What to use instead of `runc`.
    #[serde(rename = "BinaryName")]
    pub binary: String,
}

impl Default for Containerd {
    fn default() -> Self {
        Self {
            enabled: None,
            address: ADDRESS.into(),
            namespace: "buildkit".into(),
            runtime: Runtime::default(),
            snapshotter: "overlayfs".into(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            network_mode: "auto".into(),
            default_cgroup_parent: String::new(),
            max_parallelism: 0,
            gc: GcConfig::default(),
        }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self { name: "io.containerd.runc.v2".into(), options: RuntimeOptions::default() }
    }
}

impl Containerd {
    /// What is given as nothing is as if it was not given.
    pub(super) fn or_defaults(mut self) -> Self {
        let defaults = Self::default();
        let texts = [
            (&mut self.address, defaults.address),
            (&mut self.namespace, defaults.namespace),
            (&mut self.runtime.name, defaults.runtime.name),
            (&mut self.snapshotter, defaults.snapshotter),
        ];
        for (text, default) in texts {
            if text.is_empty() {
                *text = default;
            }
        }
        self
    }
}

/// On what builds run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    Embedded,
    Containerd,
}

impl Config {
    /// Which worker there is, by the table above. `answers` tells whether a containerd does, and is asked only if that
    /// matters.
    pub(crate) fn worker_kind(
        &self,
        answers: impl Fn(&Containerd) -> bool,
    ) -> std::result::Result<WorkerKind, String> {
        let address = &self.containerd.address;
        match (self.embedded, self.containerd.enabled) {
            (Some(true), Some(true)) => {
                Err("worker.oci.enabled and worker.containerd.enabled are both true: \
                 a daemon has one worker, so switch one off (--oci-worker=false)"
                    .into())
            }
            (_, Some(true)) => Ok(WorkerKind::Containerd),
            (None | Some(true), _) => Ok(WorkerKind::Embedded),
            (Some(false), None) if answers(&self.containerd) => Ok(WorkerKind::Containerd),
            (Some(false), None) => {
                Err(format!("worker.oci.enabled is false, and no containerd answers at {address}"))
            }
            (Some(false), Some(false)) => Err(
                "worker.oci.enabled and worker.containerd.enabled are both false: a daemon needs a worker"
                    .into(),
            ),
        }
    }

    /// What is set for the worker that there is, where it is read for whichever that is.
    pub(crate) fn of_worker(&self, kind: WorkerKind) -> Self {
        let mut config = self.clone();
        if kind == WorkerKind::Containerd {
            let own = &self.containerd;
            config.network.mode.clone_from(&own.network_mode);
            config.max_parallelism = Some(own.max_parallelism).filter(|limit| *limit > 0);
            config.labels.clone_from(&own.labels);
            config.platforms.clone_from(&own.platforms);
            config.cgroup_parent.clone_from(&own.default_cgroup_parent);
            config.gc = own.gc.clone();
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_worker_is_the_default_and_there_is_one() {
        use WorkerKind::{Containerd as OnContainerd, Embedded};
        let kind = |embedded, enabled, answers: bool| {
            let containerd = Containerd { enabled, ..Containerd::default() };
            let config = Config { embedded, containerd, ..Config::default() };
            config.worker_kind(|_| answers).map_err(drop)
        };
        let (yes, no) = (Some(true), Some(false));
        for answers in [true, false] {
            assert_eq!(kind(None, None, answers), Ok(Embedded));
            assert_eq!(kind(yes, None, answers), Ok(Embedded));
            assert_eq!(kind(None, no, answers), Ok(Embedded));
            assert_eq!(kind(None, yes, answers), Ok(OnContainerd));
            assert_eq!(kind(no, yes, answers), Ok(OnContainerd));
            assert_eq!(kind(yes, yes, answers), Err(()));
            assert_eq!(kind(no, no, answers), Err(()));
        }
        assert_eq!(kind(no, None, true), Ok(OnContainerd));
        assert_eq!(kind(no, None, false), Err(()));
    }
}
