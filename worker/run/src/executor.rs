//! The wall: whoever runs steps sees only this.

use std::os::fd::OwnedFd;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{Dns, Exit, ProcessSpec, Result};

/// Where the process reads and writes. Without `stdin` it reads `/dev/null`.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Called once, when the command has been executed.
pub type Started = Box<dyn FnOnce() + Send>;

/// Runs processes.
///
/// Laws, kept by `tests/laws.rs` for every implementation:
/// - when `run` returns, no process, mount, control group or mount stub of the step is left;
/// - when `stop` is pulled, everything is killed at once and the answer is [`crate::Error::Cancelled`];
/// - a dropped future kills the step as well, but nobody waits for its end.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Run to the end, telling when the command has started.
    async fn run_with(
        &self,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit>;

    /// Run to the end.
    async fn run(&self, spec: ProcessSpec, io: Stdio, stop: CancellationToken) -> Result<Exit> {
        self.run_with(spec, io, stop, Box::new(|| ())).await
    }
}

/// What is the same for all steps of a daemon.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Overrides parts of the host's `/etc/resolv.conf`.
    pub dns: Dns,
    /// Steps' groups are made in `<parent>/slipway/<id>`; "" is the root of the hierarchy.
    pub cgroup_parent: String,
}

impl Options {
    /// Removes the empty control group that steps' groups are made in; for a daemon that ends.
    pub fn remove_control_group(&self) {
        crate::cgroup::remove_ours(&self.cgroup_parent);
    }
}
