//! What each mount of a process is made of, and what becomes of it afterwards.

use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_model::llb::pb::{CacheSharingOpt, MountType};
use slipway_model::mount::Tree;
use slipway_run::{Mount, MountKind};
use slipway_session::caller::{AgentSocket, SocketAccess};
use slipway_store::{Active, CacheMount, Ref, Sharing, SnapshotId};
use tokio_util::sync::CancellationToken;

use crate::blocking::blocking;
use crate::ops::graph::TravellingMounts;
use crate::remains::{Part, Remains, Remnant};
use crate::worker::described;
use crate::{Error, Result, Value, Worker};

/// What is to be mounted, and in whose name.
pub(crate) struct MountRequest<'a> {
    pub worker: &'a Arc<Worker>,
    pub mounts: &'a [pb::Mount],
    pub inputs: &'a [Value],
    /// Of the builds that want it: secrets come from there.
    pub sessions: Vec<String>,
    pub stop: &'a CancellationToken,
    /// For `du`: what the writable ones are for.
    pub purpose: String,
    /// Where new cache mounts may get their contents from.
    pub travelling: Option<&'a dyn TravellingMounts>,
}

/// All mounts of one run, held until it has ended.
pub(crate) struct Mounts {
    pub root: Tree,
    pub readonly_root: bool,
    pub others: Vec<Mount>,
    /// By output index, with the place of the mount.
    outputs: Vec<(usize, usize, Output)>,
    /// Writable trees whose changes are thrown away, by the place of the mount.
    discarded: Vec<(usize, Active)>,
    /// By their name and what they begin with: mounts of one process share them.
    caches: Vec<(CacheName, CacheMount)>,
    _agents: Vec<AgentSocket>,
}

type CacheName = (String, Option<SnapshotId>);

enum Output {
    /// What was written becomes the output.
    Written(Active),
    /// A read-only mount gives back what it was given.
    Unchanged(Value),
}

impl Mounts {
    pub(crate) async fn prepare(request: MountRequest<'_>) -> Result<Self> {
        let wanted = request.mounts;
        let mut prepared = Preparation { request, root: None, mounts: Self::empty() };
        for (place, mount) in wanted.iter().enumerate() {
            prepared.add(place, mount).await?;
        }
        let mut mounts = prepared.mounts;
        mounts.root =
            prepared.root.ok_or_else(|| Error::Failed("the operation has no mount for the root".into()))?;
        Ok(mounts)
    }

    /// Makes snapshots of what was written.
    pub(crate) fn commit(self) -> Result<Vec<Value>> {
        let count = self.outputs.iter().map(|(index, ..)| index + 1).max().unwrap_or(0);
        let mut values = vec![Value::Scratch; count];
        for (index, _, output) in self.outputs {
            values[index] = match output {
                Output::Written(active) => Value::Snapshot(active.commit()?),
                Output::Unchanged(value) => value,
            };
        }
        Ok(values)
    }

    /// After a failure: mount by mount what is there now. Caches and agents are let go.
    pub(crate) fn into_remains(self, mounts: &[pb::Mount], inputs: &[Value]) -> Remains {
        let input =
            |mount: &pb::Mount| usize::try_from(mount.input).ok().and_then(|at| inputs.get(at)).cloned();
        let inputs: Vec<Option<Value>> = mounts.iter().map(input).collect();
        let mut trees: Vec<_> = inputs.iter().map(|input| input.clone().map(Remnant::finished)).collect();
        let written = self.outputs.into_iter().filter_map(|(_, place, output)| match output {
            Output::Written(active) => Some((place, active)),
            Output::Unchanged(_) => None,
        });
        for (place, active) in written.chain(self.discarded) {
            if let Some(tree) = trees.get_mut(place) {
                *tree = Some(Remnant::written(active));
            }
        }
        Remains { part: Part::Process, inputs, trees }
    }

    fn empty() -> Self {
        Self {
            root: Tree::Overlay { lowers: Vec::new(), upper: None },
            readonly_root: false,
            others: Vec::new(),
            outputs: Vec::new(),
            discarded: Vec::new(),
            caches: Vec::new(),
            _agents: Vec::new(),
        }
    }
}

/// What a cache mount is called; without a name of its own, where it is.
pub(crate) fn cache_id(mount: &pb::Mount) -> &str {
    let named = mount.cache_opt.as_ref().map(|opt| opt.id.as_str()).filter(|id| !id.is_empty());
    named.unwrap_or(&mount.dest)
}

pub(super) fn sharing(mount: &pb::Mount) -> Sharing {
    match mount.cache_opt.as_ref().map(|opt| opt.sharing()).unwrap_or_default() {
        CacheSharingOpt::Shared => Sharing::Shared,
        CacheSharingOpt::Private => Sharing::Private,
        CacheSharingOpt::Locked => Sharing::Locked,
    }
}

struct Preparation<'a> {
    request: MountRequest<'a>,
    root: Option<Tree>,
    mounts: Mounts,
}

impl Preparation<'_> {
    async fn add(&mut self, place: usize, mount: &pb::Mount) -> Result<()> {
        let kind = match mount.mount_type() {
            MountType::Bind => {
                let tree = self.bind(place, mount).await?;
                if mount.dest == "/" {
                    self.mounts.readonly_root = mount.readonly;
                    self.root = Some(tree);
                    return Ok(());
                }
                self.tree(mount, tree)
            }
            MountType::Cache => {
                let tree = self.cache(mount).await?;
                self.tree(mount, tree)
            }
            MountType::Tmpfs => {
                let size =
                    mount.tmpfs_opt.and_then(|opt| u64::try_from(opt.size).ok()).filter(|size| *size > 0);
                MountKind::Tmpfs { size, mode: None }
            }
            MountType::Secret => match self.secret(mount).await? {
                Some(kind) => kind,
                None => return Ok(()),
            },
            MountType::Ssh => match self.agent(mount).await? {
                Some(kind) => kind,
                None => return Ok(()),
            },
        };
        self.mounts.others.push(Mount { destination: mount.dest.clone(), kind });
        Ok(())
    }

    fn tree(&self, mount: &pb::Mount, tree: Tree) -> MountKind {
        let selector = (!mount.selector.is_empty() && mount.selector != "/").then(|| mount.selector.clone());
        MountKind::Tree { tree, selector, readonly: mount.readonly }
    }

    fn input(&self, index: i64) -> Result<Value> {
        match usize::try_from(index) {
            Err(_) => Ok(Value::Scratch),
            Ok(index) => {
                let missing = || Error::Failed(format!("a mount names input {index}, which does not exist"));
                self.request.inputs.get(index).cloned().ok_or_else(missing)
            }
        }
    }

    /// Writable with an output, writable without one (then the changes are dropped), or read-only. A read-only
    /// root is writable underneath: places for mounts are made in it before it is mounted.
    async fn bind(&mut self, place: usize, mount: &pb::Mount) -> Result<Tree> {
        let input = self.input(mount.input)?;
        let output = usize::try_from(mount.output).ok();
        if mount.readonly
            && mount.dest != "/"
            && let Some(tree) = input.tree()
        {
            if let Some(index) = output {
                self.mounts.outputs.push((index, place, Output::Unchanged(input)));
            }
            return Ok(tree.readonly());
        }
        let description = format!("mount {} from {}", mount.dest, self.request.purpose);
        let active = self.writable(input.clone(), description).await?;
        let tree = active.tree();
        match output {
            Some(index) if mount.readonly => {
                self.mounts.outputs.push((index, place, Output::Unchanged(input)));
                self.mounts.discarded.push((place, active));
            }
            Some(index) => self.mounts.outputs.push((index, place, Output::Written(active))),
            None => self.mounts.discarded.push((place, active)),
        }
        Ok(tree)
    }

    /// With the native snapshotter this is a full copy.
    async fn writable(&self, input: Value, description: String) -> Result<Active> {
        let worker = self.request.worker.clone();
        blocking(move || {
            let base = worker.snapshot_of(&input)?;
            Ok(worker.store.prepare(base.as_ref(), described(&description))?)
        })
        .await
    }

    async fn cache(&mut self, mount: &pb::Mount) -> Result<Tree> {
        let (id, sharing) = (cache_id(mount), sharing(mount));
        let (worker, input) = (self.request.worker.clone(), self.input(mount.input)?);
        let base: Option<Ref> = blocking(move || worker.snapshot_of(&input)).await?;
        let name = (id.to_owned(), base.as_ref().map(Ref::id));
        if let Some((_, cache)) = self.mounts.caches.iter().find(|(known, _)| *known == name) {
            return Ok(cache.tree());
        }
        let seed = match self.request.travelling {
            Some(travelling) => travelling.seed(id, base.as_ref()).await,
            None => None,
        };
        let taking = self.request.worker.store.cache_mount_with(id, sharing, base.as_ref(), seed);
        let cache = tokio::select! {
            () = self.request.stop.cancelled() => return Err(Error::Cancelled),
            cache = taking => cache?,
        };
        if cache.is_new() {
            cache.describe(&self.described_cache(mount, id))?;
        }
        let tree = cache.tree();
        self.mounts.caches.push((name, cache));
        Ok(tree)
    }

    /// In BuildKit's words: people filter by them.
    fn described_cache(&self, mount: &pb::Mount, id: &str) -> String {
        let from = format!("cached mount {} from {}", mount.dest, self.request.purpose);
        if id == mount.dest { from } else { format!("{from} with id {id:?}") }
    }

    async fn agent(&mut self, mount: &pb::Mount) -> Result<Option<MountKind>> {
        let opt = mount.ssh_opt.clone().unwrap_or_default();
        let access = SocketAccess { uid: opt.uid, gid: opt.gid, mode: opt.mode & 0o777 };
        match self.request.worker.agent(&self.request.sessions, &opt.id, access).await {
            Ok(socket) => {
                let path = socket.path().to_owned();
                self.mounts._agents.push(socket);
                Ok(Some(MountKind::Host { path, readonly: false, programs: false }))
            }
            Err(Error::Session(_)) if opt.optional => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn secret(&self, mount: &pb::Mount) -> Result<Option<MountKind>> {
        let opt = mount.secret_opt.clone().unwrap_or_default();
        match self.request.worker.secret(&self.request.sessions, &opt.id).await? {
            Some(bytes) => {
                Ok(Some(MountKind::File { bytes, mode: opt.mode & 0o777, uid: opt.uid, gid: opt.gid }))
            }
            None if opt.optional => Ok(None),
            None => Err(Error::SecretNotFound(opt.id)),
        }
    }
}
