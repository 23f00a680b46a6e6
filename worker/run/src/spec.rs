//! What to run: the whole description of one process, as plain data.
//!
//! It crosses a socket to the helper, so everything in it serialises. Strings that name things inside the
//! tree (`cwd`, `user`, mount destinations) are as the user wrote them; the helper resolves them there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use slipway_model::mount::Tree;

use crate::{Error, Hook, Mount, Resources, Result};

/// One process to run in one tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Names the control group and the runtime's state: ASCII letters, digits, `_`, `.`, `-`; at most 64 bytes.
    pub id: String,
    /// The command and its arguments; never empty. A command without `/` is searched in the `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=value` entries; the last of equal names wins. Nothing of the daemon's environment is added.
    pub env: Vec<String>,
    /// An absolute path inside the tree, made (mode 0755, owned by the user) where it is missing; "" is `/`.
    pub cwd: String,
    /// `""` (root), `user`, `uid`, `user:group`, `uid:gid`, in any mix; names come from the tree's own files.
    pub user: String,
    /// Further groups, besides those that the tree's own files say.
    pub groups: Vec<u32>,
    pub root: Tree,
    /// Mount the root read-only, after mount points have been made in it.
    pub readonly_root: bool,
    /// In this order, on top of the standard ones; an equal destination replaces the earlier mount.
    pub mounts: Vec<Mount>,
    /// "" means [`crate::DEFAULT_HOSTNAME`].
    pub hostname: String,
    pub extra_hosts: Vec<HostIp>,
    pub network: Network,
    pub security: Security,
    pub ulimits: Vec<Ulimit>,
    /// Overrides [`crate::Options::cgroup_parent`] where set and not empty.
    pub cgroup_parent: Option<String>,
    pub resources: Resources,
    /// Programs of the host that an OCI runtime runs around the process; the built-in runtime refuses them.
    pub hooks: Vec<Hook>,
    /// The standard input is a terminal, and to be the process's controlling one. Not with an OCI runtime, where
    /// the process has a terminal but none that controls it.
    pub terminal: bool,
    /// Remove also the parent directories that were made for a mount point, while they are empty.
    pub remove_mount_stubs_recursive: bool,
}

/// One line more in `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIp {
    pub host: String,
    pub ip: IpAddr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The daemon's own network.
    #[default]
    Host,
    /// A network of its own that holds nothing but `lo`, which is up.
    None,
    /// A network of its own, out of [`crate::Options::networks`].
    Private,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    #[default]
    Sandbox,
    /// All of the daemon's capabilities and devices, no system call filter, nothing masked.
    Insecure,
}

/// A resource limit by its short name: `nofile`, `nproc`, … (`RLIMIT_` left out, any case).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    /// Negative means unlimited, as on the wire.
    pub soft: i64,
    pub hard: i64,
}

const MAX_ID: usize = 64;

impl ProcessSpec {
    /// A process with nothing but a command: root, host network, sandboxed, no further mounts.
    pub fn new(id: impl Into<String>, root: Tree, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            id: id.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: "/".into(),
            user: String::new(),
            groups: Vec::new(),
            root,
            readonly_root: false,
            mounts: Vec::new(),
            hostname: String::new(),
            extra_hosts: Vec::new(),
            network: Network::default(),
            security: Security::default(),
            ulimits: Vec::new(),
            cgroup_parent: None,
            resources: Resources::default(),
            hooks: Vec::new(),
            terminal: false,
            remove_mount_stubs_recursive: false,
        }
    }

    /// Everything that can be said to be wrong without looking into the tree.
    pub fn validate(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::InvalidSpec { what });
        if !is_valid_id(&self.id) {
            return invalid(format!("process id {:?} is not 1 to {MAX_ID} of A-Z a-z 0-9 _ . -", self.id));
        }
        if self.args.first().is_none_or(|command| command.is_empty()) {
            return invalid("there is no command to run".into());
        }
        if let Some(text) = self.strings().find(|text| text.contains('\0')) {
            return invalid(format!("{text:?} contains a zero byte"));
        }
        if !self.cwd.is_empty() && !self.cwd.starts_with('/') {
            return invalid(format!("working directory {:?} is not absolute", self.cwd));
        }
        for mount in &self.mounts {
            mount.validate()?;
        }
        Ok(())
    }

    pub(crate) fn cwd(&self) -> &str {
        if self.cwd.is_empty() { "/" } else { &self.cwd }
    }

    pub(crate) fn hostname(&self) -> &str {
        if self.hostname.is_empty() { crate::DEFAULT_HOSTNAME } else { &self.hostname }
    }

    fn strings(&self) -> impl Iterator<Item = &String> {
        let hosts = self.extra_hosts.iter().map(|entry| &entry.host);
        self.args.iter().chain(&self.env).chain(hosts).chain([&self.cwd, &self.user, &self.hostname])
    }
}

fn is_valid_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with('.')
}
