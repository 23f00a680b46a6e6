//! Imported caches of a build: a source of records that grows while requests name caches.
//!
//! Each cache is read once for a build, however often it is named. One that is not there, or is none, is a
//! failed step and a warning, and the build goes on without: an empty cache is where every cache begins.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use parking_lot::{Mutex, RwLock};
use slipway_cache::mounts::Index;
use slipway_cache::mounts::index::LARGEST_INDEX;
use slipway_cache::remote::config::Config;
use slipway_cache::remote::manifest::{CacheLayers, Packed, inline};
use slipway_cache::remote::records::{RemoteLayer, RemoteRecords};
use slipway_model::{BlobDigest, Descriptor, Digest, Manifest, Reference};
use slipway_registry::HostConfig;
use slipway_solver::{Failure as Cause, KeyId, Link, OpContext, Record, RecordId, RecordSource, with_causes};
use slipway_worker::source::cache::{CachedLayers, OriginFor};
use slipway_worker::source::image::{Origin, RegistryOrigin};
use slipway_worker::source::oci_layout::{LayoutOrigin, SessionLayout};
use slipway_worker::{Images, Value};
use tokio::io::AsyncReadExt as _;
use tokio::sync::OnceCell;

use super::objects;
use super::options::{CacheImport, Place};
use crate::build::Build;
use crate::build::failure::Failure;
use crate::engine::Engine;

/// Images of one index whose inline caches are looked at.
const MOST_IMAGES: usize = 64;

/// The caches of one build.
#[derive(Default)]
pub(crate) struct Imports {
    caches: RwLock<Vec<Arc<Imported>>>,
    asked: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
}

/// A cache, and where its layers are.
pub(super) struct Imported {
    records: RemoteRecords<Value>,
    pub(super) origin: Arc<dyn Origin>,
    /// The index of cache mounts that it carries, if they are wanted, and the index itself once it was read.
    mounts: Option<Descriptor>,
    index: OnceCell<Arc<Index>>,
}

impl Imports {
    /// Returns when all of `wanted` are there, or are known not to be.
    pub(crate) async fn add(
        &self,
        engine: &Arc<Engine>,
        build: &Build,
        wanted: Vec<CacheImport>,
    ) -> Result<(), Failure> {
        let adding = wanted.into_iter().map(|import| async move {
            let once = self.asked.lock().entry(import.name()).or_default().clone();
            once.get_or_try_init(|| self.import(engine, build, &import)).await.copied()
        });
        try_join_all(adding).await.map(drop)
    }

    async fn import(&self, engine: &Arc<Engine>, build: &Build, import: &CacheImport) -> Result<(), Failure> {
        let name = import.name();
        let step = build.journal.step(&format!("importing cache manifest from {name}"));
        let found = match &import.place {
            Place::Objects(place) => objects::read(engine, place).await,
            _ => {
                let for_others = for_others(engine, build, import);
                read(engine, &origin(engine, build, import)?, for_others.as_ref(), &name).await
            }
        };
        match found {
            Ok(mut found) => {
                if !import.mounts {
                    found.iter_mut().for_each(|cache| cache.mounts = None);
                }
                self.caches.write().extend(found.into_iter().map(Arc::new));
                step.done();
            }
            Err(reason) => {
                step.warn(format!("the cache {name} is not used: {reason}"));
                step.fail(&reason);
            }
        }
        Ok(())
    }

    /// The layers of a result of these caches, and where they are.
    pub(super) fn layers_of(&self, record: &RecordId) -> Option<(Vec<RemoteLayer>, Arc<dyn Origin>)> {
        let cache = self.cache_of(record)?;
        Some((cache.records.layers_of(record)?, cache.origin.clone()))
    }

    /// Those that carry cache mounts.
    pub(super) fn with_mounts(&self) -> Vec<Arc<Imported>> {
        self.caches.read().iter().filter(|cache| cache.mounts.is_some()).cloned().collect()
    }

    fn cache_of(&self, record: &RecordId) -> Option<Arc<Imported>> {
        self.caches.read().iter().find(|cache| cache.records.holds(record)).cloned()
    }

    fn ask<T>(&self, question: impl Fn(&RemoteRecords<Value>) -> Vec<T>) -> Vec<T> {
        self.caches.read().iter().flat_map(|cache| question(&cache.records)).collect()
    }
}

#[async_trait]
impl RecordSource<Value> for Imports {
    fn knows(&self, root: &KeyId) -> bool {
        self.caches.read().iter().any(|cache| cache.records.knows(root))
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.ask(|cache| cache.follow(key, link))
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        self.ask(|cache| cache.origins(key))
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        self.ask(|cache| cache.records(key))
    }

    async fn load(&self, record: &Record, ctx: &OpContext<Value>) -> Result<Value, Cause> {
        match self.cache_of(&record.id) {
            Some(cache) => cache.records.load(record, ctx).await,
            None => Err(slipway_cache::error::Gone(record.id.to_string()).into()),
        }
    }
}

impl Imported {
    /// `digest` is that of what holds the config.
    pub(super) fn new(
        engine: &Engine,
        origin: Arc<dyn Origin>,
        for_others: Option<OriginFor>,
        name: &str,
        digest: &BlobDigest,
        config: &Config,
        layers: &CacheLayers,
    ) -> Result<Self, String> {
        let values = CachedLayers {
            images: engine.worker.images.source.clone(),
            origin: origin.clone(),
            for_others,
            name: name.to_owned(),
        };
        let records = RemoteRecords::new(&format!("{digest}@{name}"), config, layers, Arc::new(values));
        let mounts = config.mounts.as_deref().cloned();
        let records = records.map_err(|error| with_causes(&error))?;
        Ok(Self { records, origin, mounts, index: OnceCell::new() })
    }

    /// The cache mounts that it carries.
    pub(super) async fn saved_mounts(&self) -> Result<Arc<Index>, String> {
        let Some(descriptor) = &self.mounts else { return Ok(Arc::default()) };
        let index = self.index.get_or_try_init(|| async {
            Ok::<_, String>(Arc::new(read_index(&self.origin, descriptor).await?))
        });
        index.await.cloned()
    }
}

/// The index of cache mounts that a cache's config names.
pub(super) async fn read_index(origin: &Arc<dyn Origin>, descriptor: &Descriptor) -> Result<Index, String> {
    if descriptor.size > LARGEST_INDEX {
        return Err(format!("the index of cache mounts is larger than the limit of {LARGEST_INDEX} bytes"));
    }
    let mut bytes = Vec::new();
    let reader = origin.open(descriptor).await.map_err(|error| with_causes(&error))?;
    let read = reader.take(descriptor.size + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| with_causes(&error))?;
    if BlobDigest(Digest::of(&bytes)) != descriptor.digest {
        return Err(format!("{} is not what its name says", descriptor.digest));
    }
    Index::parse(&bytes).map_err(|error| with_causes(&error))
}

/// The config of the cache at `origin`; `None` if what is there is none.
pub(super) async fn read_config(origin: &Arc<dyn Origin>) -> Result<Option<Config>, String> {
    let root = origin.resolve().await.map_err(|error| with_causes(&error))?;
    let manifest = read_blob(origin, &root).await?;
    match Packed::parse(&manifest).map_err(|error| with_causes(&error))? {
        Packed::Cache { config, .. } => {
            let json = read_blob(origin, &config).await?;
            Config::parse(&json).map(Some).map_err(|error| with_causes(&error))
        }
        Packed::Image(_) | Packed::Images(_) => Ok(None),
    }
}

fn origin(engine: &Arc<Engine>, build: &Build, import: &CacheImport) -> Result<Arc<dyn Origin>, Failure> {
    let sessions = vec![build.session.clone()];
    Ok(match (&import.place, import.digest) {
        (Place::Registry { reference, insecure }, _) => {
            in_registry(&engine.worker.images, reference, *insecure, sessions)
        }
        (Place::Client { store }, digest) => {
            let digest = digest.ok_or_else(|| Failure::invalid("a cache of a client needs its digest"))?;
            let reference = "cache".parse::<Reference>().map_err(Failure::from_error)?;
            let layout = SessionLayout::new(engine.sessions.clone(), sessions, store.clone());
            Arc::new(LayoutOrigin { layout, reference: reference.with_digest(digest) })
        }
        (Place::Objects(_), _) => return Err(Failure::internal("an object store has no manifests")),
    })
}

/// A result of a cache may be read by a later build, whose client has its own credentials.
fn for_others(engine: &Arc<Engine>, build: &Build, import: &CacheImport) -> Option<OriginFor> {
    let Place::Registry { reference, insecure } = &import.place else { return None };
    let (reference, insecure) = (reference.clone(), *insecure);
    let (images, own) = (engine.worker.images.clone(), build.session.clone());
    Some(Arc::new(move |sessions| {
        let is_other = !sessions.is_empty() && !sessions.contains(&own);
        is_other.then(|| in_registry(&images, &reference, insecure, sessions))
    }))
}

fn in_registry(
    images: &Images,
    reference: &Reference,
    insecure: bool,
    sessions: Vec<String>,
) -> Arc<dyn Origin> {
    let client = images.client(sessions);
    let client = match insecure {
        true => client.with_host(reference.domain(), HostConfig::insecure()),
        false => client,
    };
    Arc::new(RegistryOrigin { client, reference: reference.clone() })
}

/// The caches at `origin`: one, or one for each image that carries one. `Err` says why there is none.
async fn read(
    engine: &Arc<Engine>,
    origin: &Arc<dyn Origin>,
    for_others: Option<&OriginFor>,
    name: &str,
) -> Result<Vec<Imported>, String> {
    let told = |error: &dyn std::error::Error| with_causes(error);
    let root = origin.resolve().await.map_err(|error| told(&error))?;
    let manifest = read_blob(origin, &root).await?;
    let mut found = Vec::new();
    match Packed::parse(&manifest).map_err(|error| told(&error))? {
        Packed::Cache { config, layers } => {
            let json = read_blob(origin, &config).await?;
            let parsed = Config::parse(&json).map_err(|error| told(&error))?;
            found.push((config.digest, parsed, layers));
        }
        Packed::Image(manifest) => found.extend(read_inline(origin, &manifest).await?),
        Packed::Images(images) => {
            for image in images.iter().take(MOST_IMAGES) {
                let json = read_blob(origin, image).await?;
                if let Packed::Image(manifest) = Packed::parse(&json).map_err(|error| told(&error))? {
                    found.extend(read_inline(origin, &manifest).await?);
                }
            }
        }
    }
    let imported = |(digest, config, layers): (BlobDigest, Config, CacheLayers)| {
        Imported::new(engine, origin.clone(), for_others.cloned(), name, &digest, &config, &layers)
    };
    found.into_iter().map(imported).collect()
}

async fn read_inline(
    origin: &Arc<dyn Origin>,
    manifest: &Manifest,
) -> Result<Option<(BlobDigest, Config, CacheLayers)>, String> {
    // An attestation, or something else that has no layers of a system.
    if manifest.layers.is_empty() {
        return Ok(None);
    }
    let config = read_blob(origin, &manifest.config).await?;
    let found = inline(manifest, &config).map_err(|error| with_causes(&error))?;
    Ok(found.map(|(records, layers)| (manifest.config.digest, records, layers)))
}

/// A small blob, checked.
async fn read_blob(origin: &Arc<dyn Origin>, descriptor: &Descriptor) -> Result<Bytes, String> {
    let bytes = origin.read(descriptor).await.map_err(|error| with_causes(&error))?;
    let expected = descriptor.digest;
    let is_it = match expected.0 {
        Digest::Sha256(_) => Digest::of(&bytes) == expected.0,
        // Whoever gave it has checked it, or nobody can.
        Digest::Sha512(_) => false,
    };
    is_it.then_some(bytes).ok_or_else(|| format!("{expected} is not what its name says"))
}
