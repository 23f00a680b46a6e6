//! The wall: whoever runs steps sees only this.

use std::io;
use std::os::fd::OwnedFd;

use async_trait::async_trait;
use rustix::process::{Signal, pidfd_send_signal};
use tokio_util::sync::CancellationToken;

use crate::network::NetworkUsage;
use crate::{Dns, Exit, Networks, ProcessSpec, Result};

/// Where the process reads and writes. Without `stdin` it reads `/dev/null`.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Called once, when the command has been executed.
pub type Started = Box<dyn FnOnce(Running) + Send>;

/// A process that has started. It means nothing any more once the process has ended, and never another one.
#[derive(Debug)]
pub struct Running {
    pub(crate) id: String,
    pub(crate) cgroup_parent: Option<String>,
    /// Of the process itself; of an OCI runtime, which passes signals on.
    pub(crate) process: OwnedFd,
    /// Of a container with a private network.
    pub(crate) network: Option<NetworkUsage>,
}

impl Running {
    /// Sends a signal; one that has ended needs none.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.process, signal) {
            Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }
}

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

    /// Run one more process, to its end, in the container whose first process is `container`.
    ///
    /// Of `spec` counts what belongs to the process alone: command, environment, user, working directory,
    /// limits, security, terminal. Tree, mounts, names and network are the container's. When the container
    /// ends, so does the process.
    async fn join(
        &self,
        container: &Running,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit>;

    /// Run to the end.
    async fn run(&self, spec: ProcessSpec, io: Stdio, stop: CancellationToken) -> Result<Exit> {
        self.run_with(spec, io, stop, Box::new(drop)).await
    }
}

/// What is the same for all steps of a daemon.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Overrides parts of the host's `/etc/resolv.conf`.
    pub dns: Dns,
    /// Steps' groups are made in `<parent>/slipway/<id>`; "" is the root of the hierarchy.
    pub cgroup_parent: String,
    /// For processes with [`crate::Network::Private`].
    pub networks: Networks,
}

impl Options {
    /// Removes the empty control group that steps' groups are made in; for a daemon that ends.
    pub fn remove_control_group(&self) {
        crate::cgroup::remove_ours(&self.cgroup_parent);
    }
}
