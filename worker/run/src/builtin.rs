//! The runtime of our own: namespaces, mounts and execve in the helper, nothing else to install.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::launch::{Handed, launch};
use crate::protocol::{Joined, Order, Runtime};
use crate::resolv_conf::resolv_conf;
use crate::{
    Error, Executor, Exit, Mount, MountKind, Options, ProcessSpec, Result, Running, Security, Started, Stdio,
    capability, hosts,
};

/// Runs steps without an OCI runtime. The binary must begin its `main` with [`crate::main_if_helper`].
#[derive(Clone, Debug)]
pub struct BuiltinExecutor {
    options: Options,
}

impl BuiltinExecutor {
    pub fn new(options: Options) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Executor for BuiltinExecutor {
    async fn run_with(
        &self,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        refuse_what_takes_a_runtime(&spec)?;
        let options = self.options.clone();
        let network = options.networks.lease(&spec, &stop).await?.map(Handed::Network);
        launch(move || order(&options, spec, Runtime::Builtin), network, io, stop, started).await
    }

    async fn join(
        &self,
        container: &Running,
        mut spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        let options = self.options.clone();
        spec.cgroup_parent.clone_from(&container.cgroup_parent);
        let joined = Joined { id: container.id.clone() };
        let process = rustix::io::fcntl_dupfd_cloexec(&container.process, 0)
            .map_err(|error| Error::Helper { action: "reach the container with", source: error.into() })?;
        if let (Some(network), Security::Insecure) = (&container.network, spec.security) {
            network.change();
        }
        let joining = move || order(&options, spec, Runtime::Join(joined));
        launch(joining, Some(Handed::Process(process)), io, stop, started).await
    }
}

/// Limits of access to a device are a control group's business, which not every host has; hooks are programs that
/// want to see a container through a runtime's eyes.
fn refuse_what_takes_a_runtime(spec: &ProcessSpec) -> Result<()> {
    let refused = |what: &str| {
        let what = format!("{what} an OCI runtime: start the daemon with --oci-worker-binary runc");
        Err(Error::InvalidSpec { what })
    };
    if !spec.hooks.is_empty() {
        return refused("a device that brings hooks needs");
    }
    let is_limited = |mount: &Mount| matches!(&mount.kind, MountKind::Device(node) if !(node.access.contains('r') && node.access.contains('w')));
    match spec.mounts.iter().find(|mount| is_limited(mount)) {
        Some(mount) => refused(&format!("to limit access to {} takes", mount.destination)),
        None => Ok(()),
    }
}

/// Everything the helper needs to know, gathered on the host's side.
pub(crate) fn order(options: &Options, spec: ProcessSpec, runtime: Runtime) -> Result<Order> {
    spec.validate()?;
    let capabilities = capability::available()
        .map_err(|error| Error::Setup { step: "read our capabilities".into(), reason: error.to_string() })?;
    let parent = spec.cgroup_parent.as_ref().filter(|parent| !parent.is_empty());
    Ok(Order {
        hosts: hosts::hosts_file(spec.hostname(), &spec.extra_hosts),
        resolv_conf: resolv_conf(&options.dns, spec.network)?,
        cgroup_parent: parent.unwrap_or(&options.cgroup_parent).clone(),
        capabilities,
        runtime,
        spec,
    })
}
