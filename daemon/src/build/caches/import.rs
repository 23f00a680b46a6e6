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
use slipway_cache::remote::config::Config;
use slipway_cache::remote::manifest::{CacheLayers, Packed, inline};
use slipway_cache::remote::records::{RemoteLayer, RemoteRecords};
use slipway_model::{BlobDigest, Descriptor, Digest, Manifest};
use slipway_registry::HostConfig;
use slipway_solver::{Failure as Cause, KeyId, Link, OpContext, Record, RecordId, RecordSource, with_causes};
use slipway_worker::Value;
use slipway_worker::source::cache::CachedLayers;
use slipway_worker::source::image::{Origin, RegistryOrigin};
use slipway_worker::source::oci_layout::{LayoutOrigin, SessionLayout};
use tokio::sync::OnceCell;

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
        let origin = origin(engine, build, import)?;
        match read(engine, &origin, &name).await {
            Ok(found) => {
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

fn origin(engine: &Arc<Engine>, build: &Build, import: &CacheImport) -> Result<Arc<dyn Origin>, Failure> {
    let sessions = vec![build.session.clone()];
    Ok(match (&import.place, import.digest) {
        (Place::Registry { reference, insecure }, _) => {
            let client = engine.worker.images.client(sessions);
            let client = match insecure {
                true => client.with_host(reference.domain(), HostConfig::insecure()),
                false => client,
            };
            Arc::new(RegistryOrigin { client, reference: reference.clone() })
        }
        (Place::Client { store }, digest) => {
            let digest = digest.ok_or_else(|| Failure::invalid("a cache of a client needs its digest"))?;
            let reference = "cache".parse::<slipway_model::Reference>().map_err(Failure::from_error)?;
            let layout = SessionLayout::new(engine.sessions.clone(), sessions, store.clone());
            Arc::new(LayoutOrigin { layout, reference: reference.with_digest(digest) })
        }
    })
}

/// The caches at `origin`: one, or one for each image that carries one. `Err` says why there is none.
async fn read(engine: &Arc<Engine>, origin: &Arc<dyn Origin>, name: &str) -> Result<Vec<Imported>, String> {
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
        let values = CachedLayers {
            images: engine.worker.images.source.clone(),
            origin: origin.clone(),
            name: name.to_owned(),
        };
        let records = RemoteRecords::new(&format!("{digest}@{name}"), &config, &layers, Arc::new(values));
        Ok(Imported { records: records.map_err(|error| told(&error))?, origin: origin.clone() })
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
