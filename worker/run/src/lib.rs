//! Running one process in a tree: the only room that starts a step.
//!
//! A caller describes the process with a [`ProcessSpec`] and hands it to an [`Executor`]. There are three:
//! [`BuiltinExecutor`] is a runtime of our own, [`OciExecutor`] drives runc or crun, [`OutsideExecutor`] makes
//! bundles ready for somebody else's (such as containerd's). All re-execute this
//! binary as a *helper*, a small single-threaded process that does all that a threaded daemon must not:
//! unsharing, mounting, forking. So a binary that runs steps begins its `main` with [`main_if_helper`].
//!
//! What is absent, on purpose:
//! - no mount on the host: trees are mounted in namespaces that die with the step. The exception is a step that
//!   somebody else runs: its mounts are seen by the host until it ends;
//! - no path of a tree is ever joined to a host path: the kernel resolves it in its root (`openat2`);
//! - no state on disk: a killed daemon leaves no step behind, since helpers die with their socket.

mod builtin;
mod capability;
mod cgroup;
mod emulation;
mod error;
mod executor;
mod exit;
mod helper;
mod hook;
mod host_program;
mod hosts;
mod launch;
mod leftovers;
mod mount;
mod network;
mod oci;
mod outside;
mod protocol;
mod resolv_conf;
mod resources;
mod seccomp;
mod spec;

pub use builtin::BuiltinExecutor;
pub use emulation::runnable_platforms;
pub use error::{Error, NotStarted};
pub use executor::{Executor, Options, Running, Started, Stdio};
pub use exit::{Exit, OutOfMemory, Status, Usage};
pub use helper::main_if_helper;
pub use hook::{Hook, HookPoint};
pub use hosts::DEFAULT_HOSTNAME;
pub use mount::{DeviceNode, Mount, MountKind, NodeKind};
pub use network::{BridgeOptions, CniOptions, Networks, Subnet};
pub use oci::OciExecutor;
pub use outside::{Bundle, Container, Outside, OutsideExecutor};
pub use resolv_conf::Dns;
pub use resources::Resources;
pub use rustix::process::Signal;
pub use spec::{HostIp, Network, ProcessSpec, Security, Ulimit};

/// What every fallible function of this room answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;
