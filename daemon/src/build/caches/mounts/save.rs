//! The mounts of a build on their way into a cache.
//!
//! ```text
//! what the target has, and what was imported ─> known chunks
//! each mount that is here, taken as one more step would take it ─> chunks ─> new packs, sent while more are made
//! each mount that is not here, but was in an import ─> named again, its packs passed on
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use slipway_cache::mounts::chunker::Chunker;
use slipway_cache::mounts::index::Known;
use slipway_cache::mounts::pack::{NewPack, Packer};
use slipway_cache::mounts::{Index, PackEntry, Root, SavedMount};
use slipway_exporter::push::StoreBlob;
use slipway_model::{BlobDigest, Descriptor, Digest};
use slipway_solver::with_causes;
use slipway_store::layer::contents;
use slipway_store::{CacheMount, Sharing, Store};
use slipway_worker::source::image::Origin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::target::{Lost, OriginBlob, Target};
use super::{Wanted, digest_of};
use crate::build::Build;
use crate::build::journal::Step;
use crate::engine::Engine;

/// Packs on their way at a time, and questions about them.
const AT_ONCE: usize = 4;
const QUESTIONS: usize = 8;
/// A mount that changes under our eyes is looked at again so often.
const ATTEMPTS: usize = 3;

/// What a cache says of its mounts.
pub(in super::super) struct Saved {
    pub index: Descriptor,
    pub packs: Vec<Descriptor>,
}

/// A mount's id, and the digest of what it began with.
type Name = (String, Option<Digest>);

/// Saves the mounts of `build` that are wanted; `None` if there are none.
pub(in super::super) async fn save(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    wanted: &Wanted,
    target: &Arc<Target>,
    step: &Arc<Step>,
) -> Result<Option<Saved>, String> {
    let used = build.mounts.used(wanted);
    if used.is_empty() {
        return Ok(None);
    }
    let mut earlier = Earlier::default();
    earlier.read(build, target, &used).await;
    let mut mounts = BTreeMap::new();
    for (id, sharing) in &used {
        for (base, mount) in take(&engine.store, id, *sharing).await? {
            let line = step.transfer(&format!("saving cache mount {id}"));
            match save_one(engine, target, &mut earlier.known, mount).await {
                Ok(saved) => {
                    drop(mounts.insert((id.clone(), base), SavedMount { id: id.clone(), base, ..saved }))
                }
                Err(reason) => step.warn(format!("the cache mount {id} is not saved: {reason}")),
            }
            line.done();
        }
    }
    earlier.pass_on(target, &mut mounts).await?;
    if mounts.is_empty() {
        return Ok(None);
    }
    let index = Index { mounts: mounts.into_values().collect(), packs: earlier.known.packs }.trimmed();
    let (bytes, descriptor) = index.to_blob().map_err(|error| with_causes(&error))?;
    target.blob(&descriptor, Arc::new(bytes::Bytes::from(bytes))).await?;
    let packs = index.packs.iter().map(PackEntry::descriptor).collect();
    Ok(Some(Saved { index: descriptor, packs }))
}

/// Directories of `id` that are here, each with the digest of what it began with.
async fn take(
    store: &Store,
    id: &str,
    sharing: Sharing,
) -> Result<Vec<(Option<Digest>, CacheMount)>, String> {
    let (of, name) = (store.clone(), id.to_owned());
    let bases = tokio::task::spawn_blocking(move || {
        let bases = of.cache_mount_bases(&name).map_err(|error| with_causes(&error))?;
        let mut found = Vec::new();
        for base in bases {
            match base.map(|base| of.get(&base)).transpose().map_err(|error| with_causes(&error))? {
                None => found.push((None, None)),
                Some(Some(base)) => found.push((Some(digest_of(&base)?), Some(base))),
                // What it began with is gone: no build will ask for it again.
                Some(None) => {}
            }
        }
        Ok::<_, String>(found)
    });
    let bases = bases.await.map_err(|error| error.to_string())??;
    let mut taken = Vec::new();
    for (digest, base) in bases {
        let mount = store.kept_cache_mount(id, sharing, base.as_ref()).await;
        taken.extend(mount.map_err(|error| with_causes(&error))?.map(|mount| (digest, mount)));
    }
    Ok(taken)
}

/// Packs are sent while more are made. Gives a mount without a name.
async fn save_one(
    engine: &Arc<Engine>,
    target: &Arc<Target>,
    known: &mut Known,
    mount: CacheMount,
) -> Result<SavedMount, String> {
    let (sender, receiver) = mpsc::channel::<NewPack>(1);
    let store = engine.store.clone();
    let mut taken = std::mem::take(known);
    let packing = tokio::task::spawn_blocking(move || {
        let mut finished =
            |pack| sender.blocking_send(pack).map_err(|_| io::Error::other("a pack could not be sent"));
        let packed = pack(&store, &mut taken, &mut finished, &mount);
        (packed, taken)
    });
    let sending = ReceiverStream::new(receiver)
        .map(|pack| send(engine, target, pack))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>();
    let (packed, sent) = tokio::join!(packing, sending);
    let (packed, taken) = packed.map_err(|error| error.to_string())?;
    *known = taken;
    // Why a pack was not sent says more than that it was not.
    sent?;
    packed
}

async fn send(engine: &Arc<Engine>, target: &Arc<Target>, pack: NewPack) -> Result<(), String> {
    let NewPack { entry, lease } = pack;
    let source = StoreBlob { store: engine.store.clone(), digest: entry.digest };
    let sent = target.blob(&entry.descriptor(), Arc::new(source)).await;
    drop(lease);
    sent
}

fn pack(
    store: &Store,
    known: &mut Known,
    finished: &mut dyn FnMut(NewPack) -> io::Result<()>,
    mount: &CacheMount,
) -> Result<SavedMount, String> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match pack_once(store, known, finished, mount) {
            Err(error) if attempt < ATTEMPTS => tracing::debug!(error, "a cache mount is looked at again"),
            outcome => return outcome,
        }
    }
}

fn pack_once(
    store: &Store,
    known: &mut Known,
    finished: &mut dyn FnMut(NewPack) -> io::Result<()>,
    mount: &CacheMount,
) -> Result<SavedMount, String> {
    let told = |error: io::Error| with_causes(&error);
    let directory = File::open(mount.directory()).map_err(told)?;
    let stat = directory.metadata().map_err(told)?;
    let mut packer = Packer::new(store, known, finished).map_err(told)?;
    let written = contents::write(directory.as_fd(), Chunker::new(&mut packer));
    let ended = match written {
        Ok(chunker) => chunker.finish().map(drop).map_err(told),
        Err(error) => Err(with_causes(&error)),
    };
    let (runs, size) = packer.take_stream();
    // What was packed is known from now on, whether the mount is whole or not.
    packer.finish().map_err(told)?;
    ended?;
    let root = Root { mode: stat.mode() & 0o7777, uid: stat.uid(), gid: stat.gid() };
    Ok(SavedMount { id: String::new(), base: None, root, size, runs })
}

/// What was saved before: at the target, and in caches that were imported.
#[derive(Default)]
struct Earlier {
    known: Known,
    places: HashMap<BlobDigest, usize>,
    /// Packs that the target does not have, and who has them.
    elsewhere: HashMap<usize, Arc<dyn Origin>>,
    mounts: BTreeMap<Name, SavedMount>,
}

impl Earlier {
    /// What cannot be read was not saved.
    async fn read(&mut self, build: &Build, target: &Arc<Target>, used: &[(String, Sharing)]) {
        match target.saved_mounts().await {
            Ok(Some(index)) => self.add(index, None, target, used).await,
            Ok(None) => {}
            Err(reason) => tracing::debug!(reason, "what was saved before is not known"),
        }
        for import in build.imports.with_mounts() {
            match import.saved_mounts().await {
                Ok(index) => self.add((*index).clone(), Some(&import.origin), target, used).await,
                Err(reason) => tracing::debug!(reason, "the mounts of an import are not known"),
            }
        }
    }

    async fn add(
        &mut self,
        index: Index,
        origin: Option<&Arc<dyn Origin>>,
        target: &Arc<Target>,
        used: &[(String, Sharing)],
    ) {
        let sparse = index.sparse_packs();
        let asking = index.packs.iter().map(|pack| {
            let known = self.places.contains_key(&pack.digest);
            async move { !known && target.has(&pack.descriptor()).await.unwrap_or(false) }
        });
        let present: Vec<bool> = stream::iter(asking.collect::<Vec<_>>()).buffered(QUESTIONS).collect().await;
        let mut places = Vec::new();
        for ((pack, sparse), present) in index.packs.iter().zip(sparse).zip(present) {
            let place = match (self.places.get(&pack.digest), present) {
                (Some(place), _) => Some(*place),
                (None, true) if sparse => Some(self.known.add_silently(pack.clone())),
                (None, true) => Some(self.known.add(pack.clone())),
                (None, false) => origin.map(|origin| {
                    let place = self.known.add_silently(pack.clone());
                    self.elsewhere.insert(place, origin.clone());
                    place
                }),
            };
            places.push(place);
            self.places.extend(place.map(|place| (pack.digest, place)));
        }
        for mount in index.mounts.iter().filter(|mount| used.iter().any(|(id, _)| *id == mount.id)) {
            let runs = mount.runs.iter().map(|(pack, first, count)| Some((places[*pack]?, *first, *count)));
            if let Some(runs) = runs.collect() {
                let name = (mount.id.clone(), mount.base);
                self.mounts.entry(name).or_insert_with(|| SavedMount { runs, ..mount.clone() });
            }
        }
    }

    /// Adds what is not here to `mounts`, and what it needs to the target.
    async fn pass_on(
        &mut self,
        target: &Arc<Target>,
        mounts: &mut BTreeMap<Name, SavedMount>,
    ) -> Result<(), String> {
        for (name, mount) in std::mem::take(&mut self.mounts) {
            if mounts.contains_key(&name) {
                continue;
            }
            for (pack, ..) in &mount.runs {
                if let Some(origin) = self.elsewhere.remove(pack) {
                    let descriptor = self.known.packs[*pack].descriptor();
                    let source = OriginBlob { origin, descriptor: descriptor.clone(), lost: Lost::default() };
                    target.blob(&descriptor, Arc::new(source)).await?;
                }
            }
            mounts.insert(name, mount);
        }
        Ok(())
    }
}
