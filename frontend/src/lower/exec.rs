//! The operation that runs a command.
//!
//! Mounts are sorted by where they appear, the root first; secrets and ssh sockets follow. Only mounts
//! that may be written have an output.

use std::sync::Arc;

use slipway_model::Platform;
use slipway_model::llb::{Node, NodeOutput, pb};

use super::capabilities::*;
use super::metadata::Metadata;
use super::state::State;

/// What a command is run with, beyond the state it starts from.
#[derive(Clone, Debug, Default)]
pub(super) struct Exec {
    pub(super) args: Vec<String>,
    pub(super) hostname: String,
    pub(super) network: pb::NetMode,
    pub(super) security: pb::SecurityMode,
    pub(super) proxy: Option<pb::ProxyEnv>,
    pub(super) extra_hosts: Vec<pb::HostIp>,
    pub(super) ulimits: Vec<pb::Ulimit>,
    pub(super) cgroup_parent: String,
    pub(super) mounts: Vec<Mounted>,
    pub(super) secrets: Vec<Secret>,
    pub(super) devices: Vec<pb::CdiDevice>,
    /// `dest` may be empty.
    pub(super) ssh: Vec<pb::Mount>,
    /// Of `--cache-ttl`.
    pub(super) period: Option<String>,
}

/// A mount with what it mounts; input and output of `mount` are set by [`Exec::node`].
#[derive(Clone, Debug)]
pub(super) struct Mounted {
    /// `None` is scratch.
    pub(super) from: Option<NodeOutput>,
    pub(super) mount: pb::Mount,
    /// May be written, but what is written is thrown away.
    pub(super) discards: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) options: pb::SecretOpt,
    pub(super) target: Option<String>,
    pub(super) variable: Option<String>,
}

impl Exec {
    pub(super) fn node(mut self, base: &mut State, target: &Platform, mut metadata: Metadata) -> Node {
        self.need(base, &mut metadata);
        let platform = base.platform.as_ref().unwrap_or(target).into();
        let mut inputs = Vec::new();
        let mut mounts = self.mounts(base, &mut inputs);
        let mut variables = base.environment.wire();
        for (index, socket) in self.ssh.iter_mut().enumerate() {
            if socket.dest.is_empty() {
                socket.dest = format!("/run/buildkit/ssh_agent.{index}");
            }
        }
        if let Some(socket) = self.ssh.first()
            && base.environment.value("SSH_AUTH_SOCK").is_none()
        {
            Arc::make_mut(&mut variables).push("SSH_AUTH_SOCK", &socket.dest);
        }
        if let Some(period) = &self.period {
            Arc::make_mut(&mut variables).push(super::period::VARIABLE, period);
        }
        let secretenv = self.secret_variables();
        mounts.extend(self.secrets.into_iter().filter_map(secret_mount));
        mounts.extend(self.ssh);
        let exec = pb::ExecOp {
            meta: Some(pb::Meta {
                args: self.args,
                cwd: base.folder.clone(),
                user: base.user.clone(),
                proxy_env: self.proxy,
                extra_hosts: self.extra_hosts,
                hostname: self.hostname,
                ulimit: self.ulimits,
                cgroup_parent: self.cgroup_parent,
                remove_mount_stubs_recursive: true,
                ..pb::Meta::default()
            }),
            mounts,
            network: self.network.into(),
            security: self.security.into(),
            secretenv,
            cdi_devices: self.devices,
        };
        let op = pb::Op {
            platform: Some(platform),
            constraints: Some(pb::WorkerConstraints::default()),
            op: Some(pb::op::Op::Exec(exec)),
            ..pb::Op::default()
        };
        let variables = Some(variables);
        Node { op, inputs, variables, metadata: metadata.finish(), ..Node::default() }
    }

    fn mounts(&mut self, base: &State, inputs: &mut Vec<NodeOutput>) -> Vec<pb::Mount> {
        let root = pb::Mount { dest: "/".to_owned(), ..pb::Mount::default() };
        let mut all = vec![Mounted { from: base.output, mount: root, discards: false }];
        all.append(&mut self.mounts);
        all.sort_by(|a, b| a.mount.dest.cmp(&b.mount.dest));
        let mut outputs = 0..;
        let number = |Mounted { from, mut mount, discards }: Mounted| {
            mount.input = from.map_or(-1, |from| {
                inputs.push(from);
                i64::try_from(inputs.len() - 1).unwrap_or(i64::MAX)
            });
            let keeps = !discards && !mount.readonly && mount.mount_type == pb::MountType::Bind as i32;
            mount.output = if keeps { outputs.next().unwrap_or(-1) } else { -1 };
            mount
        };
        all.into_iter().map(number).collect()
    }

    fn secret_variables(&self) -> Vec<pb::SecretEnv> {
        let variable = |secret: &Secret| {
            let name = secret.variable.clone()?;
            Some(pb::SecretEnv { id: secret.options.id.clone(), name, optional: secret.options.optional })
        };
        self.secrets.iter().filter_map(variable).collect()
    }

    fn need(&self, base: &State, metadata: &mut Metadata) {
        metadata.need(EXEC_BASE);
        metadata.need(EXEC_DEFAULT_PATH);
        let conditions = [
            (base.output.is_some(), EXEC_MOUNT_BIND),
            (!self.ulimits.is_empty(), EXEC_ULIMIT),
            (self.network != pb::NetMode::Unset, EXEC_NETWORK),
            (self.security != pb::SecurityMode::Sandbox, EXEC_SECURITY),
            (self.proxy.is_some(), EXEC_PROXY),
            (!self.secrets.is_empty(), EXEC_MOUNT_SECRET),
            (self.secrets.iter().any(|secret| secret.variable.is_some()), EXEC_SECRET_ENV),
            (!self.ssh.is_empty(), EXEC_MOUNT_SSH),
            (metadata.has_resources(), EXEC_RESOURCES),
            (!self.devices.is_empty(), EXEC_DEVICES),
        ];
        for (_, capability) in conditions.into_iter().filter(|(needed, _)| *needed) {
            metadata.need(capability);
        }
        for Mounted { from, mount, .. } in &self.mounts {
            if !mount.selector.is_empty() {
                metadata.need(EXEC_MOUNT_SELECTOR);
            }
            if mount.cache_opt.is_some() {
                metadata.need(EXEC_MOUNT_CACHE);
                metadata.need(EXEC_MOUNT_CACHE_SHARING);
            } else if let Some(limits) = &mount.tmpfs_opt {
                metadata.need(EXEC_MOUNT_TMPFS);
                if limits.size > 0 {
                    metadata.need(EXEC_MOUNT_TMPFS_SIZE);
                }
            } else if from.is_some() {
                metadata.need(EXEC_MOUNT_BIND);
            }
        }
    }
}

fn secret_mount(secret: Secret) -> Option<pb::Mount> {
    Some(pb::Mount {
        input: -1,
        dest: secret.target?,
        mount_type: pb::MountType::Secret.into(),
        secret_opt: Some(secret.options),
        ..pb::Mount::default()
    })
}
