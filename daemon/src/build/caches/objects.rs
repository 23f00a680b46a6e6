//! Places that know no manifests: a cache there is a config whose layers say themselves what they are.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_cache::remote::config::Config;
use slipway_cache::remote::manifest::CacheLayers;
use slipway_exporter::options::Untaken;
use slipway_model::{BlobDigest, Descriptor, Digest};
use slipway_object::actions::{self, ActionsOptions};
use slipway_object::azure::{self, AzureOptions};
use slipway_object::s3::{self, S3Options};
use slipway_object::{CacheStore, Options};
use slipway_solver::with_causes;
use slipway_worker::source::image::{Error, Origin, Reader};
use tokio::io::AsyncReadExt as _;

use super::import::Imported;
use crate::engine::Engine;

/// A place and the keys to it.
#[derive(Clone)]
pub(super) enum ObjectPlace {
    S3(S3Options),
    Azure(AzureOptions),
    Actions(ActionsOptions),
}

impl fmt::Debug for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl ObjectPlace {
    /// Takes the options of a cache of the type `kind`; `Err` says what is wrong with them.
    pub(super) fn take(kind: &str, options: &mut Untaken) -> Result<Self, String> {
        let mut taking =
            Options { take: &mut |name| options.take(name), environment: &|name| std::env::var(name).ok() };
        let taken = match kind {
            "s3" => S3Options::take(&mut taking).map(Self::S3),
            "azblob" => AzureOptions::take(&mut taking).map(Self::Azure),
            _ => ActionsOptions::take(&mut taking).map(Self::Actions),
        };
        taken.map_err(|error| with_causes(&error))
    }

    /// As progress shows it, and as two requests for the same cache are known to be one.
    pub(super) fn name(&self) -> String {
        match self {
            Self::S3(options) => options.name(),
            Self::Azure(options) => options.name(),
            Self::Actions(options) => options.name(),
        }
    }

    /// The step of a build that writes it.
    pub(super) fn exporting(&self) -> &'static str {
        match self {
            Self::S3(_) => "exporting cache to Amazon S3",
            Self::Azure(_) => "exporting cache to Azure Blob Storage",
            Self::Actions(_) => "exporting to GitHub Actions Cache",
        }
    }

    pub(super) fn open(&self, engine: &Engine) -> Arc<dyn CacheStore> {
        // Keys to a place come with its options: nobody's account is asked for.
        let client = engine.worker.images.client(Vec::new());
        match self.clone() {
            Self::S3(options) => Arc::new(s3::open(&client, options)),
            Self::Azure(options) => Arc::new(azure::open(&client, options)),
            Self::Actions(options) => Arc::new(actions::open(&client, options)),
        }
    }
}

/// The caches at `place`; none if nobody has written one yet.
pub(super) async fn read(engine: &Arc<Engine>, place: &ObjectPlace) -> Result<Vec<Imported>, String> {
    let (name, store) = (place.name(), place.open(engine));
    let origin: Arc<dyn Origin> = Arc::new(StoreOrigin { name: name.clone(), store: store.clone() });
    let configs = store.configs().await.map_err(|error| with_causes(&error))?;
    let imported = |json: Bytes| {
        let config = Config::parse(&json).map_err(|error| with_causes(&error))?;
        let layers = CacheLayers::described_by(&config);
        let digest = BlobDigest(Digest::of(&json));
        Imported::new(engine, origin.clone(), None, &name, &digest, &config, &layers)
    };
    configs.into_iter().map(imported).collect()
}

/// Blobs of an object store, as layers are read.
pub(super) struct StoreOrigin {
    pub(super) name: String,
    pub(super) store: Arc<dyn CacheStore>,
}

impl StoreOrigin {
    fn failed(
        &self,
        descriptor: &Descriptor,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let digest = Box::new(descriptor.digest);
        Error::Blob { name: self.name.clone(), digest, source: source.into() }
    }
}

#[async_trait]
impl Origin for StoreOrigin {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn repository(&self) -> Option<String> {
        None
    }

    fn digest(&self) -> Option<BlobDigest> {
        None
    }

    async fn resolve(&self) -> Result<Descriptor, Error> {
        let reason = "an object store knows no image by name".into();
        Err(Error::NotInLayout { name: self.name.clone(), reason })
    }

    async fn read(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let mut whole = Vec::new();
        let reader = self.open(descriptor).await?;
        let read = reader.take(descriptor.size).read_to_end(&mut whole).await;
        read.map_err(|error| self.failed(descriptor, error))?;
        Ok(whole.into())
    }

    async fn open(&self, descriptor: &Descriptor) -> Result<Reader, Error> {
        self.store.open(descriptor, 0).await.map_err(|error| self.failed(descriptor, error))
    }
}
