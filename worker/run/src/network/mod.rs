//! Networks of steps' own: a bridge of ours, or whatever CNI plugins make.
//!
//! ```text
//! Networks ── Pool ── Provider ─┬─ Bridge   netlink; one nft or iptables when the bridge is made
//!                │              └─ Cni      a plugin per entry of the configuration, run for each namespace
//!              Lease             (a namespace, a process's until it has ended)
//! ```
//! A process gets its namespace as a descriptor: its helper enters it before anything else, so that the process,
//! or the OCI runtime that makes it, is born there.
//!
//! | | bridge | cni |
//! |---|---|---|
//! | made | with the first step that wants it | for each namespace |
//! | address | claimed by the name of the cable's near end, which the kernel gives once | the plugins' business |
//! | a killed daemon leaves | the bridge, without cables; it is used or removed by the next | what plugins keep, and a file that says how to have it removed |
//!
//! Namespaces are nowhere in the filesystem: those of a killed daemon go with it, and the cables with them.
//! Several daemons can share a bridge: the kernel arbitrates.

mod bridge;
mod cni;
mod firewall;
mod link;
mod namespace;
mod netlink;
mod pool;
mod subnet;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use subnet::Subnet;
use tokio_util::sync::CancellationToken;

use self::namespace::Namespace;
use self::pool::Pool;
use crate::{Error, Network, ProcessSpec, Result, Security};

/// A bridge of the daemon's, with NAT to everywhere else.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Of the link; at most 15 bytes.
    pub name: String,
    pub subnet: Subnet,
}

/// Networks by plugins, as <https://www.cni.dev/docs/spec/> has them.
#[derive(Clone, Debug)]
pub struct CniOptions {
    /// A list of plugins (`.conflist`) or one plugin.
    pub config: PathBuf,
    pub binaries: PathBuf,
    /// A directory of the daemon's own, made when something is to be remembered.
    pub state: PathBuf,
}

/// Where processes with [`Network::Private`] get their network; the default has none to give.
#[derive(Clone, Debug, Default)]
pub struct Networks(Option<Arc<Pool>>);

impl Networks {
    /// Nothing is made yet. At most `pool` namespaces wait for processes.
    pub fn bridge(options: BridgeOptions, pool: usize) -> Result<Self> {
        Ok(Self(Some(Arc::new(Pool::new(Box::new(bridge::Bridge::open(options)?), pool)))))
    }

    /// Reads the configuration; what a killed daemon has left is being removed when this returns.
    pub fn cni(options: CniOptions, pool: usize) -> Result<Self> {
        Ok(Self(Some(Arc::new(Pool::new(Box::new(cni::Cni::open(options)?), pool)))))
    }

    /// Has removed what a killed daemon of the same state directory has left, for a daemon whose networks are others.
    pub fn remove_leftovers(state: PathBuf) {
        cni::remove_leftovers(state);
    }

    /// Removes all that is not in use. For a daemon that ends; blocks.
    pub fn close(&self) {
        if let Some(pool) = &self.0 {
            pool.close();
        }
    }

    /// The network for a process, if it wants one of its own. Made on a thread that may block: if nobody waits for
    /// it any more, it goes back by itself.
    pub(crate) async fn lease(&self, spec: &ProcessSpec, stop: &CancellationToken) -> Result<Option<Lease>> {
        if spec.network != Network::Private {
            return Ok(None);
        }
        let Some(pool) = self.0.clone() else {
            return Err(Error::InvalidSpec { what: "there is no network for steps of their own".into() });
        };
        let (hostname, sandbox) = (spec.hostname.clone(), spec.security == Security::Sandbox);
        let leased = tokio::select! {
            leased = tokio::task::spawn_blocking(move || pool.lease(&hostname)) => leased,
            () = stop.cancelled() => return Err(Error::Cancelled),
        };
        let lease = leased.map_err(|error| failed("make a network", error))??;
        if !sandbox {
            lease.usage().change();
        }
        Ok(Some(lease))
    }
}

/// Makes namespaces, with all that is outside of them.
trait Provider: Send + Sync + std::fmt::Debug {
    /// A namespace with a network. `hostname` is "" where the process has asked for none.
    fn attach(&self, hostname: &str) -> Result<Attachment>;

    /// Takes a namespace's network away again; what goes wrong there is nobody's concern any more.
    fn detach(&self, attachment: &Attachment);

    /// Removes what all of them have in common, unless others use it.
    fn close(&self);
}

/// A namespace, and how its provider knows it.
#[derive(Debug)]
struct Attachment {
    namespace: Namespace,
    name: String,
    hostname: String,
}

/// A network that a process has, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    attachment: Option<Attachment>,
    usage: NetworkUsage,
}

/// Whether processes could change their network: then nobody gets it after them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkUsage(Arc<AtomicBool>);

impl NetworkUsage {
    pub(crate) fn change(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Lease {
    pub(crate) fn usage(&self) -> NetworkUsage {
        self.usage.clone()
    }

    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.attachment.as_ref().map(|attachment| attachment.namespace.as_fd())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(attachment) = self.attachment.take() {
            self.pool.give_back(attachment, !self.usage.0.load(Ordering::Relaxed));
        }
    }
}

fn failed(step: impl Into<String>, reason: impl ToString) -> Error {
    Error::Setup { step: step.into(), reason: reason.to_string() }
}
