//! The door: one root directory with everything in it.
//!
//! ```text
//! <root>/lock           who uses it
//!        layout         version of this layout
//!        metadata.db    rows of everything below
//!        blobs/         content-addressed files
//!        ingest/        blobs being written
//!        snapshots/     directories of snapshots, by snapshotter
//!        bin/           what is being removed
//!        reserve        space kept for pruning on a full disk
//! ```

mod clock;
mod housekeeper;
mod recover;
mod reserve;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use slipway_model::BlobDigest;
use tokio::sync::Notify;

use crate::blob::{Blobs, Content, Files};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};
use crate::metadata::{Durability, Mark, Metadata, MetadataOptions};
use crate::refs::{Live, Ref, table};
use crate::snapshot::{Bin, Native, Overlay, SnapshotId, Snapshotter, SnapshotterChoice};
use crate::usage::Shares;
pub use clock::Clock;
pub(crate) use clock::time;
use housekeeper::Housekeeper;
pub(crate) use schema::{HANGING, delete_hanging, snapshotter as snapshotter_of};

const LAYOUT: i64 = 1;

#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    pub snapshotter: SnapshotterChoice,
    /// Instead of directories and files below the root; then `snapshotter` says nothing.
    pub backend: Option<Backend>,
    pub durability: Durability,
    /// See [`MetadataOptions::boot_id`].
    pub boot_id: Option<String>,
    pub clock: Clock,
}

/// Snapshots and blobs that another program keeps. What is known of them is still in the database below the root.
///
/// Others may use that program, too, so what was here may be gone: a snapshot is looked for before it is handed out,
/// and a blob may be `None` though it has a row.
#[derive(Clone)]
pub struct Backend {
    pub snapshotter: Arc<dyn Snapshotter>,
    pub content: Arc<dyn Content>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Backend").field(&self.snapshotter.name()).finish()
    }
}

/// Everything below one root. Cheap to clone; the last clone, `Ref`, `Active`, … to go closes it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

type RemovedHook = Box<dyn Fn(&[SnapshotId]) + Send + Sync>;
type LayersRemovedHook = Box<dyn Fn(&[BlobDigest]) + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    pub(crate) snapshotter: Arc<dyn Snapshotter>,
    pub(crate) clock: Clock,
    /// Who uses what. Locked before the database, never the other way round.
    pub(crate) live: Mutex<Live>,
    pub(crate) cache_mount_freed: Notify,
    /// How often links into snapshots came to nothing: what was measured meanwhile is not kept.
    pub(crate) links_gone: AtomicU64,
    pub(crate) pruning: Mutex<()>,
    pub(crate) reserve: reserve::Reserve,
    pub(crate) shares: Shares,
    hooks: Mutex<Vec<RemovedHook>>,
    blob_hooks: Mutex<Vec<LayersRemovedHook>>,
    pub(crate) housekeeper: Housekeeper,
}

impl Store {
    /// Opens or creates the store in `root` and removes what a crash left there.
    ///
    /// [`Error::Locked`] if it is open elsewhere, [`Error::Newer`] if a later version made it,
    /// [`Error::OtherSnapshotter`] and [`Error::NoOverlay`] if it cannot be used as asked.
    pub fn open(root: &Path, options: StoreOptions) -> Result<Self> {
        match Self::open_once(root, options.clone()) {
            // It has left its mark: what can be read is saved now.
            Err(Error::Corrupt { .. }) => Self::open_once(root, options),
            opened => opened,
        }
    }

    fn open_once(root: &Path, options: StoreOptions) -> Result<Self> {
        let metadata = MetadataOptions { durability: options.durability, boot_id: options.boot_id };
        let metadata = Metadata::open(root, metadata)?;
        let root = root.canonicalize().at("resolve", root)?;
        check_layout(&root)?;
        metadata.migrate("store", schema::STEPS)?;
        let bin = Bin::open(&root.join("bin"))?;
        let is_foreign = options.backend.is_some();
        let (snapshotter, content): (_, Arc<dyn Content>) = match options.backend {
            Some(backend) => (foreign_snapshotter(&root, &metadata, backend.snapshotter)?, backend.content),
            None => (
                open_snapshotter(&root, &metadata, options.snapshotter, &bin)?,
                Arc::new(Files::open(&root)?),
            ),
        };
        let blobs = Blobs::open_store(content, metadata.clone(), options.clock.clone());
        recover::recover(&metadata, &*snapshotter, &blobs, is_foreign)?;
        let housekeeper = Housekeeper::start(snapshotter.clone(), metadata.clone(), bin)?;
        let inner = Inner {
            reserve: reserve::Reserve::open(&root),
            root,
            metadata,
            blobs,
            snapshotter,
            clock: options.clock,
            live: Mutex::default(),
            cache_mount_freed: Notify::new(),
            links_gone: AtomicU64::new(0),
            pruning: Mutex::default(),
            shares: Shares::default(),
            hooks: Mutex::default(),
            blob_hooks: Mutex::default(),
            housekeeper,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The directory everything is in.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The database, for the tables of other rooms.
    pub fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// `overlay` or `native`; or the name that a [`Backend`] gives.
    pub fn snapshotter(&self) -> &str {
        self.inner.snapshotter.name()
    }

    /// See [`Snapshotter::is_layered`].
    pub fn is_layered(&self) -> bool {
        self.inner.snapshotter.is_layered()
    }

    /// Returns when everything reported as done survives a kill -9. Call it before a result is reported.
    pub fn flush(&self) -> Result<()> {
        self.inner.metadata.flush()
    }

    /// Writes down what is noted in memory, such as uses, and gives back the memory. For pauses.
    pub fn rest(&self) -> Result<()> {
        self.save_uses()?;
        self.inner.metadata.give_back()
    }

    /// Writes down who used what; that is kept in memory first, so that using costs no transaction.
    pub(crate) fn save_uses(&self) -> Result<()> {
        self.inner.live.lock().save_uses(&self.inner.metadata)?;
        self.blobs().save_uses()
    }

    /// Where the order of writes stands now, for [`flush_since`](Self::flush_since).
    pub fn mark(&self) -> Mark {
        self.inner.metadata.mark()
    }

    /// [`flush`](Self::flush) for those who rely on what was written after `mark`; see
    /// [`Metadata::flush_since`].
    pub fn flush_since(&self, mark: Mark) -> Result<()> {
        self.inner.metadata.flush_since(mark)
    }

    /// Whether hardly a block is free where it lies.
    pub fn is_full(&self) -> bool {
        const HARDLY: u64 = 1 << 20;
        let stat = rustix::fs::statvfs(&self.inner.root);
        stat.is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < HARDLY)
    }

    /// Whether all of `snapshot` is still written down: a transaction that was given up takes rows along.
    pub fn keeps(&self, snapshot: &Ref) -> Result<bool> {
        for below in snapshot.chain() {
            if !self.exists(&below.id())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Calls `hook` with snapshots that pruning has removed, so that those who remember them forget. Their rows
    /// are gone already, their files not yet. It must not call [`prune`](Self::prune).
    pub fn on_removed(&self, hook: impl Fn(&[SnapshotId]) + Send + Sync + 'static) {
        self.inner.hooks.lock().push(Box::new(hook));
    }

    pub(crate) fn tell_removed(&self, removed: &[SnapshotId]) {
        if !removed.is_empty() {
            self.inner.hooks.lock().iter().for_each(|hook| hook(removed));
        }
    }

    /// Calls `hook` with blobs of no snapshot that pruning is about to remove, or whose snapshots it has removed:
    /// an image that has them is not whole any more. They go, unless somebody still holds them when it returns. It must not call [`prune`](Self::prune).
    pub fn on_blobs_removed(&self, hook: impl Fn(&[BlobDigest]) + Send + Sync + 'static) {
        self.inner.blob_hooks.lock().push(Box::new(hook));
    }

    pub(crate) fn tell_blobs_removed(&self, removed: &[BlobDigest]) -> Result<()> {
        let gone = self.inner.metadata.with(|db| {
            let mut gone = Vec::new();
            for digest in removed {
                if table::of_blob(db, digest)?.is_empty() {
                    gone.push(*digest);
                }
            }
            Ok(gone)
        })?;
        if !gone.is_empty() {
            self.inner.blob_hooks.lock().iter().for_each(|hook| hook(&gone));
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.housekeeper.stop();
        let saved = self.live.get_mut().save_uses(&self.metadata).and_then(|()| self.blobs.save_uses());
        if let Err(error) = saved {
            tracing::warn!(root = %self.root.display(), %error, "the last uses of snapshots were not noted");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.inner.root).finish()
    }
}

fn check_layout(root: &Path) -> Result<()> {
    let path = root.join("layout");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let found = text.trim().parse().unwrap_or(0);
            if found > LAYOUT {
                return Err(Error::Newer { what: root.display().to_string(), found, known: LAYOUT });
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fault::pass(Point::Layout).at("write", &path)?;
            std::fs::write(&path, format!("{LAYOUT}\n")).at("write", &path)
        }
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// A root stays with the snapshotter it was made with.
fn foreign_snapshotter(
    root: &Path,
    metadata: &Metadata,
    snapshotter: Arc<dyn Snapshotter>,
) -> Result<Arc<dyn Snapshotter>> {
    if let Some(found) = metadata.with(schema::snapshotter)?.filter(|found| found != snapshotter.name()) {
        let (root, wanted) = (root.into(), snapshotter.name().to_owned());
        return Err(Error::OtherSnapshotter { root, found, wanted });
    }
    metadata.with(|db| schema::set_snapshotter(db, snapshotter.name()))?;
    Ok(snapshotter)
}

/// The snapshotter that the root was made with, or in a new root the best that works.
fn open_snapshotter(
    root: &Path,
    metadata: &Metadata,
    choice: SnapshotterChoice,
    bin: &Bin,
) -> Result<Arc<dyn Snapshotter>> {
    let made_with = metadata.with(schema::snapshotter)?;
    let overlay = || -> Result<Arc<dyn Snapshotter>> {
        Ok(Arc::new(Overlay::open(&root.join("snapshots/overlay"), bin.clone())?))
    };
    let native = || -> Result<Arc<dyn Snapshotter>> {
        Ok(Arc::new(Native::open(&root.join("snapshots/native"), bin.clone())?))
    };
    let opened = match (choice, made_with.as_deref()) {
        (SnapshotterChoice::Auto | SnapshotterChoice::Overlay, Some("overlay")) => overlay()?,
        (SnapshotterChoice::Auto | SnapshotterChoice::Native, Some("native")) => native()?,
        (SnapshotterChoice::Overlay, None) => overlay()?,
        (SnapshotterChoice::Native, None) => native()?,
        (SnapshotterChoice::Auto, None) => overlay().or_else(|error| {
            tracing::warn!(
                root = %root.display(), error = &error as &dyn std::error::Error,
                "overlay does not work here: every snapshot is a full copy"
            );
            native()
        })?,
        (wanted, Some(found)) => {
            let (root, found) = (root.into(), found.to_owned());
            return Err(Error::OtherSnapshotter {
                root,
                found,
                wanted: format!("{wanted:?}").to_lowercase(),
            });
        }
    };
    metadata.with(|db| schema::set_snapshotter(db, opened.name()))?;
    Ok(opened)
}
