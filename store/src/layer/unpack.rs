//! Layers to snapshots, found and shared by chain id.
//!
//! Layers at the bottom that are here already are not opened. Of the rest, each becomes a snapshot on
//! the one before. An overlay layer does not need to see what is below it, so several are unpacked at
//! once, each into a directory of its own, and then moved into place in order by renaming what is at
//! their top. With whole trees (native) it is one after the other.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, openat2};
use rustix::io::Errno;
use slipway_model::{ChainId, Descriptor, DiffId};

use super::apply::{Applied, ApplyOptions, Limits, Target, apply};
use super::of_ref::open;
use super::whiteout::Namespace;
use super::{Expected, LayerError};
use crate::fault::{self, Point};
use crate::refs::{Active, LayerBlob, PrepareOptions, RecordType, Ref};
use crate::snapshot::Changes;
use crate::store::Store;

/// Opens the blob of a layer; called from a thread that may block, once at most.
pub type OpenLayer = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

/// A layer to unpack.
pub struct LayerInput {
    pub descriptor: Descriptor,
    /// From the image's config.
    pub diff_id: DiffId,
    /// For people: `pulled from docker.io/library/alpine:3`.
    pub description: String,
    pub open: OpenLayer,
}

/// The snapshot that `layers`, from the bottom up, add up to; `None` for no layers. At most `at_once`
/// layers are open at a time. Blocks.
pub fn unpack(
    store: &Store,
    layers: Vec<LayerInput>,
    record_type: RecordType,
    at_once: usize,
) -> Result<Option<Ref>, LayerError> {
    let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
    let mut top = None;
    let mut there = 0;
    for count in (1..=layers.len()).rev() {
        let Some(chain) = ChainId::of(&diff_ids[..count]) else { break };
        if let Some(found) = store.by_chain(&chain)? {
            (top, there) = (Some(found), count);
            break;
        }
    }
    let missing: Vec<LayerInput> = layers.into_iter().skip(there).collect();
    let mut stack = Stack { store, top, chain: ChainId::of(&diff_ids[..there]), record_type };
    if missing.len() < 2 || !store.is_layered() {
        for layer in missing {
            stack.unpack(layer)?;
        }
    } else {
        stack.unpack_all(missing, at_once.max(1))?;
    }
    Ok(stack.top)
}

struct Stack<'a> {
    store: &'a Store,
    top: Option<Ref>,
    chain: Option<ChainId>,
    record_type: RecordType,
}

/// What is left to know of a layer once its content is in a directory.
struct Unpacked {
    descriptor: Descriptor,
    description: String,
    applied: Applied,
}

impl Stack<'_> {
    /// Straight into the snapshot that it becomes.
    fn unpack(&mut self, layer: LayerInput) -> Result<(), LayerError> {
        let active = self.prepare(self.top.as_ref(), &layer.description)?;
        let unpacked = apply_to(&active, layer)?;
        self.push(active, &unpacked)
    }

    fn unpack_all(&mut self, layers: Vec<LayerInput>, at_once: usize) -> Result<(), LayerError> {
        let staged = self.stage(layers, at_once)?;
        for (directory, unpacked) in staged {
            let active = match &self.top {
                None => directory,
                Some(top) => {
                    let active = self.prepare(Some(top), &unpacked.description)?;
                    move_into(&directory.upper_dir(), &active.upper_dir())?;
                    active
                }
            };
            self.push(active, &unpacked)?;
        }
        Ok(())
    }

    /// Unpacks each layer into a directory of its own.
    fn stage(&self, layers: Vec<LayerInput>, at_once: usize) -> Result<Vec<(Active, Unpacked)>, LayerError> {
        let count = layers.len();
        let layers = Mutex::new(layers.into_iter().map(Some).collect::<Vec<_>>());
        let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(layer) = layers.lock().get_mut(index).and_then(Option::take) else { return };
                let is_lowest = index == 0 && self.top.is_none();
                let result = self.stage_one(layer, is_lowest);
                if result.is_err() {
                    next.store(count, Ordering::Relaxed);
                }
                done.lock().insert(index, result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..at_once.min(count) {
                scope.spawn(work);
            }
        });
        done.into_inner().into_values().collect()
    }

    fn stage_one(&self, layer: LayerInput, is_lowest: bool) -> Result<(Active, Unpacked), LayerError> {
        let directory = self.prepare(None, &layer.description)?;
        let unpacked = apply_layer(&directory, layer, is_lowest)?;
        Ok((directory, unpacked))
    }

    fn prepare(&self, parent: Option<&Ref>, description: &str) -> Result<Active, LayerError> {
        let options = PrepareOptions { description: description.to_owned(), record_type: self.record_type };
        Ok(self.store.prepare(parent, options)?)
    }

    /// Commits the next layer.
    fn push(&mut self, active: Active, unpacked: &Unpacked) -> Result<(), LayerError> {
        if let (Some(below), Changes::Upper { .. }) = (&self.top, active.changes()) {
            adopt_attributes(&active.upper_dir(), below, &unpacked.applied.implied)?;
        }
        let diff_id = unpacked.applied.diff_id;
        let chain = match self.chain {
            None => ChainId(diff_id.0),
            Some(below) => below.with(diff_id),
        };
        let committed = active.commit()?;
        let blob = LayerBlob::from(&unpacked.descriptor);
        self.store.set_chain(&committed, &chain, &diff_id, Some(&blob))?;
        // If another was faster, all share its snapshot.
        self.top = Some(self.store.by_chain(&chain)?.unwrap_or(committed));
        self.chain = Some(chain);
        Ok(())
    }
}

fn apply_to(active: &Active, layer: LayerInput) -> Result<Unpacked, LayerError> {
    apply_layer(active, layer, active.parent().is_none())
}

/// `is_lowest`: there is nothing below that could be hidden, so no marks are made.
fn apply_layer(active: &Active, layer: LayerInput, is_lowest: bool) -> Result<Unpacked, LayerError> {
    let target = target_of(active, is_lowest);
    let expected = Expected { blob: Some(layer.descriptor.digest), diff_id: Some(layer.diff_id) };
    let mut blob = (layer.open)().map_err(LayerError::Input)?;
    let root = open(&active.upper_dir())?;
    let options = ApplyOptions { target, limits: Limits::default(), expected };
    let applied = apply(&mut *blob, root.as_fd(), options)?;
    Ok(Unpacked { descriptor: layer.descriptor, description: layer.description, applied })
}

/// How deletions are written in a snapshot that is being made.
pub(super) fn target_of(active: &Active, is_lowest: bool) -> Target {
    match active.changes() {
        Changes::Upper { .. } if is_lowest => Target::Tree,
        Changes::Upper { xattr_prefix: "user.overlay.", .. } => Target::Overlay(Namespace::User),
        Changes::Upper { .. } => Target::Overlay(Namespace::Trusted),
        Changes::Trees { .. } => Target::Tree,
    }
}

/// Moves everything at the top of one directory to another, which is empty.
fn move_into(from: &Path, to: &Path) -> Result<(), LayerError> {
    let failed = || LayerError::file("move into place", b"/");
    let (from, to) = (open(from)?, open(to)?);
    for entry in Dir::read_from(&from).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            fault::pass(Point::LayerMove).map_err(failed())?;
            rustix::fs::renameat(&from, name, &to, name).map_err(failed())?;
        }
    }
    // The whole tree below may be hidden.
    for namespace in [Namespace::Trusted, Namespace::User] {
        let mut value = [0; 8];
        if let Ok(length) = rustix::fs::fgetxattr(&from, namespace.opaque(), &mut value[..]) {
            rustix::fs::fsetxattr(&to, namespace.opaque(), &value[..length], XattrFlags::empty())
                .map_err(failed())?;
        }
    }
    Ok(())
}

/// Directories that the layer only passes through are those of the tree below.
fn adopt_attributes(upper: &Path, below: &Ref, implied: &[Vec<u8>]) -> Result<(), LayerError> {
    if implied.is_empty() {
        return Ok(());
    }
    let below = below.mount()?;
    let upper = open(upper)?;
    for path in implied {
        let Some(from) = directory_at(&below, path).map_err(LayerError::file("open", path))? else {
            continue;
        };
        let Some(to) = directory_at(&upper, path).map_err(LayerError::file("open", path))? else { continue };
        adopt(&from, &to).map_err(LayerError::file("set the attributes of", path))?;
    }
    Ok(())
}

fn directory_at(root: &impl AsFd, path: &[u8]) -> rustix::io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn adopt(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    rustix::fs::futimens(to, &Timestamps { last_access: time, last_modification: time })
}
