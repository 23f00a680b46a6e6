//! Snapshots in containerd.
//!
//! ```text
//! <id>-active   while it is written   (key of an active snapshot)
//! <id>          ever after            (name of a committed one)
//! ```
//!
//! Who stands on whom is told by the store in each call, and by containerd as the parent of each snapshot: both are
//! the same. What containerd does not tell of a committed snapshot is where its files are: only active ones have
//! mounts. But the directory that was written is the directory that is read ever after, so it is noted when the
//! snapshot is made, in a label that stays with it.
//!
//! Whether the snapshotter stacks layers or copies trees is found out once, at the start, by making a snapshot on
//! another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use slipway_model::mount::{OverlayUpper, Tree};
use slipway_proto::containerd::snapshots::snapshots_client::SnapshotsClient;
use slipway_proto::containerd::snapshots::{
    CommitSnapshotRequest, Info, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
    RemoveSnapshotRequest, StatSnapshotRequest,
};
use slipway_store::snapshot::{
    Changes, DiskUsage, SnapshotId, Snapshotter, copy_directory_attributes, disk_usage, finish_copy,
};
use slipway_store::{Error as StoreError, Result as StoreResult};
use tonic::transport::Channel;

use crate::client::{LARGEST_MESSAGE, Leased, Server};
use crate::lease;
use crate::mounts::Place;
use crate::{Client, Error, Result};

/// The kernel's `OVL_MAX_STACK`.
const LAYER_LIMIT: usize = 500;
/// Where the files of a snapshot are.
const DIRECTORY: &str = "org.slipway.directory";

/// One of containerd's snapshotters.
pub struct ContainerdSnapshotter {
    client: Client,
    snapshotter: String,
    /// As the store tells it: it must not be mixed up with directories of our own.
    name: String,
    layered: bool,
    xattr_prefix: &'static str,
    /// What a state directory has of its own, for paths of what is gone.
    nowhere: PathBuf,
    places: Mutex<HashMap<SnapshotId, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    directory: PathBuf,
    /// While it is written, and on others.
    work: Option<PathBuf>,
}

impl ContainerdSnapshotter {
    /// Makes the lease, finds out how `snapshotter` works, and which snapshots are kept. `root` is the state
    /// directory. Blocks.
    pub fn open(client: Client, server: &Server, snapshotter: &str, root: &Path) -> Result<Self> {
        if !server.snapshotters().contains(&snapshotter) {
            let available = server.snapshotters().join(", ");
            return Err(Error::NoSnapshotter { wanted: snapshotter.to_owned(), available });
        }
        lease::ensure(&client, &root.display().to_string())?;
        let mut opened = Self {
            name: format!("containerd/{}/{snapshotter}", client.namespace()),
            client,
            snapshotter: snapshotter.to_owned(),
            layered: false,
            xattr_prefix: "trusted.overlay.",
            nowhere: root.join("gone"),
            places: Mutex::default(),
        };
        let probed = opened.probe()?;
        opened.layered = probed.is_overlay();
        if probed.userxattr {
            opened.xattr_prefix = "user.overlay.";
        }
        Ok(opened)
    }

    /// As containerd knows it.
    pub fn snapshotter(&self) -> &str {
        &self.snapshotter
    }

    /// What a snapshot on another is mounted as. Both are gone afterwards.
    fn probe(&self) -> Result<Place> {
        let random = SnapshotId::random().map_err(|source| Error::Client { source })?;
        let below = SnapshotId::random().map_err(|source| Error::Client { source })?;
        let probed = self.prepare_in(&active(&below), "").and_then(|_| {
            self.commit_as(&below, Path::new(""))?;
            self.prepare_in(&active(&random), &committed(&below))
        });
        let remove = |key: &str| match self.remove_from(key) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        };
        for key in [active(&random), committed(&below), active(&below)] {
            remove(&key)?;
        }
        probed
    }

    fn service(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.client.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Somebody may have deleted the lease: then it is made again, since nothing can be kept by one that is gone.
    fn leased<T>(&self, call: impl Fn() -> Result<T>) -> Result<T> {
        match call() {
            Err(Error::Refused { status, .. }) if status.message().contains("lease") => {
                lease::ensure(&self.client, "")?;
                call()
            }
            answer => answer,
        }
    }

    fn prepare_in(&self, key: &str, parent: &str) -> Result<Place> {
        let message = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..Default::default()
        };
        let prepared = self.leased(|| {
            let (mut service, request) = (self.service(), self.client.request(message.clone(), Leased::Yes));
            self.client.call(format!("prepare snapshot {key}"), async move { service.prepare(request).await })
        })?;
        Place::of(&self.snapshotter, &prepared.mounts)
    }

    fn commit_as(&self, id: &SnapshotId, directory: &Path) -> Result<()> {
        let message = CommitSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            name: committed(id),
            key: active(id),
            labels: [(DIRECTORY.to_owned(), directory.display().to_string())].into(),
        };
        self.leased(|| {
            let (mut service, request) = (self.service(), self.client.request(message.clone(), Leased::Yes));
            self.client.call(format!("commit snapshot {id}"), async move { service.commit(request).await })
        })
    }

    /// With the lease, which else would go on naming what is gone.
    fn remove_from(&self, key: &str) -> Result<()> {
        let message = RemoveSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.to_owned() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::Yes));
        self.client.call(format!("remove snapshot {key}"), async move { service.remove(request).await })
    }

    fn stat(&self, key: &str) -> Result<Option<Info>> {
        let message = StatSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.to_owned() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        let found =
            self.client.call(format!("find snapshot {key}"), async move { service.stat(request).await });
        match found {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(found?.info),
        }
    }

    /// All of the namespace: others' too.
    fn all(&self) -> Result<Vec<Info>> {
        let message = ListSnapshotsRequest { snapshotter: self.snapshotter.clone(), ..Default::default() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        self.client.call("list snapshots", async move {
            let mut pages = service.list(request).await?.into_inner();
            let mut all = Vec::new();
            while let Some(page) = pages.message().await? {
                all.extend(page.info);
            }
            Ok(tonic::Response::new(all))
        })
    }

    /// Where the files of a snapshot are; asks if it is not known yet.
    fn place(&self, id: &SnapshotId) -> Result<Option<Known>> {
        if let Some(known) = self.places.lock().get(id) {
            return Ok(Some(known.clone()));
        }
        let found = match self.stat(&committed(id))? {
            Some(info) => known_of(&info),
            None => self.active_place(id)?,
        };
        if let Some(known) = &found {
            self.places.lock().insert(*id, known.clone());
        }
        Ok(found)
    }

    /// A directory that stays writable, such as a cache mount, after a restart.
    fn active_place(&self, id: &SnapshotId) -> Result<Option<Known>> {
        let message = MountsRequest { snapshotter: self.snapshotter.clone(), key: active(id) };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        match self.client.call(format!("mount snapshot {id}"), async move { service.mounts(request).await }) {
            Err(error) if error.is_not_found() => Ok(None),
            mounts => {
                let Place { directory, work, .. } = Place::of(&self.snapshotter, &mounts?.mounts)?;
                Ok(Some(Known { directory, work }))
            }
        }
    }

    /// Its directory; of one that is gone a path at which nothing is, so that whoever opens it hears which one.
    fn directory(&self, id: &SnapshotId) -> PathBuf {
        let found = self.place(id).unwrap_or_else(|error| {
            tracing::warn!(%id, error = &error as &dyn std::error::Error, "a snapshot cannot be found");
            None
        });
        found.map_or_else(|| self.nowhere.join(id.as_str()), |known| known.directory)
    }

    fn let_go(&self, id: &SnapshotId) -> Result<()> {
        self.places.lock().remove(id);
        let kind = lease::snapshots_of(&self.snapshotter);
        for key in [active(id), committed(id)] {
            lease::let_go(&self.client, &key, &kind)?;
        }
        Ok(())
    }
}

impl Snapshotter for ContainerdSnapshotter {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_layered(&self) -> bool {
        self.layered
    }

    fn prepare(&self, id: &SnapshotId, parents: &[SnapshotId]) -> StoreResult<()> {
        if self.layered && parents.len() >= LAYER_LIMIT {
            return Err(StoreError::TooManyLayers { limit: LAYER_LIMIT });
        }
        let parent = parents.first().map(committed).unwrap_or_default();
        let Place { directory, work, .. } = self.prepare_in(&active(id), &parent)?;
        self.places.lock().insert(*id, Known { directory: directory.clone(), work });
        match parents.first() {
            // overlayfs shows the attributes of the topmost root, and containerd passes on its owner only.
            Some(parent) if self.layered => copy_directory_attributes(&self.directory(parent), &directory),
            // Its copies of directories that hold something are of the time of copying, and would all be changes.
            Some(parent) => finish_copy(&self.directory(parent), &directory),
            None => rustix::fs::chmod(&directory, rustix::fs::Mode::from_raw_mode(0o755))
                .map_err(|error| StoreError::io("set the mode of", directory, error)),
        }
    }

    fn tree(&self, id: &SnapshotId, parents: &[SnapshotId], writable: bool) -> Tree {
        let directory = self.directory(id);
        if parents.is_empty() || !self.layered {
            return Tree::Bind { source: directory, readonly: !writable };
        }
        let below = parents.iter().map(|parent| self.directory(parent));
        if !writable {
            return Tree::Overlay { lowers: std::iter::once(directory).chain(below).collect(), upper: None };
        }
        let known = self.places.lock().get(id).and_then(|known| known.work.clone());
        let work = known.unwrap_or_else(|| self.nowhere.join(id.as_str()));
        Tree::Overlay { lowers: below.collect(), upper: Some(OverlayUpper { upper: directory, work }) }
    }

    fn commit(&self, id: &SnapshotId) -> StoreResult<()> {
        let directory = self.directory(id);
        self.commit_as(id, &directory)?;
        if let Some(known) = self.places.lock().get_mut(id) {
            known.work = None;
        }
        Ok(())
    }

    fn remove(&self, id: &SnapshotId) -> StoreResult<()> {
        Ok(self.let_go(id)?)
    }

    fn discard(&self, id: &SnapshotId) -> StoreResult<()> {
        Ok(self.let_go(id)?)
    }

    fn changes(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Changes {
        let upper = self.directory(id);
        if self.layered {
            return Changes::Upper { upper, xattr_prefix: self.xattr_prefix };
        }
        Changes::Trees { lower: parents.first().map(|parent| self.directory(parent)), upper }
    }

    /// As for our own: what is on the disk now, of its own directory.
    fn usage(&self, id: &SnapshotId) -> StoreResult<DiskUsage> {
        let Some(known) = self.place(id)? else { return Err(StoreError::NoSnapshot { id: *id }) };
        disk_usage(&known.directory)
    }

    /// Those that the lease keeps. Also learns where they are.
    fn list(&self) -> StoreResult<Vec<SnapshotId>> {
        let kept = lease::kept(&self.client, &lease::snapshots_of(&self.snapshotter))?;
        let mut found = Vec::new();
        for info in self.all()? {
            if !kept.contains(&info.name) {
                continue;
            }
            let Some(id) = id_of(&info.name) else { continue };
            if let Some(known) = known_of(&info) {
                self.places.lock().entry(id).or_insert(known);
            }
            found.push(id);
        }
        Ok(found)
    }

    fn exists(&self, id: &SnapshotId) -> StoreResult<bool> {
        let there = self.stat(&committed(id))?.is_some() || self.stat(&active(id))?.is_some();
        if !there {
            self.places.lock().remove(id);
        }
        Ok(there)
    }

    fn collect(&self) -> StoreResult<()> {
        if !self.client.take_garbage() {
            return Ok(());
        }
        // What could not be collected is garbage still.
        Ok(lease::collect(&self.client).inspect_err(|_| self.client.note_garbage())?)
    }
}

fn committed(id: &SnapshotId) -> String {
    format!("slipway-{id}")
}

fn active(id: &SnapshotId) -> String {
    format!("slipway-{id}-active")
}

fn id_of(name: &str) -> Option<SnapshotId> {
    let name = name.strip_prefix("slipway-")?;
    name.strip_suffix("-active").unwrap_or(name).parse().ok()
}

fn known_of(info: &Info) -> Option<Known> {
    let directory = info.labels.get(DIRECTORY).filter(|directory| !directory.is_empty())?;
    Some(Known { directory: directory.into(), work: None })
}

#[cfg(test)]
mod tests {
    use slipway_tests::Containerd;

    use super::*;

    #[test]
    fn finding_out_how_a_snapshotter_works_leaves_nothing_on_the_lease() {
        let Some(containerd) = Containerd::start() else { return };
        let root = tempfile::tempdir().unwrap();
        let client = Client::new(&containerd.address(), "laws", "slipway-laws").unwrap();
        let server = client.server().unwrap();
        let opened = ContainerdSnapshotter::open(client.clone(), &server, "overlayfs", root.path()).unwrap();
        let kept = || lease::kept(&client, &lease::snapshots_of("overlayfs")).unwrap();
        assert!(kept().is_empty(), "{:?}", kept());
        let id = SnapshotId::random().unwrap();
        opened.prepare(&id, &[]).unwrap();
        opened.commit(&id).unwrap();
        assert_eq!(kept().into_iter().collect::<Vec<_>>(), [committed(&id)]);
        opened.remove(&id).unwrap();
        assert!(kept().is_empty(), "{:?}", kept());
    }
}
