//! Where an exported cache goes: a registry, a store of the client's session, or an object store.

use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use slipway_cache::mounts::Index;
use slipway_cache::remote::config::Config;
use slipway_model::{BlobDigest, Descriptor, Reference};
use slipway_object::CacheStore;
use slipway_registry::{BlobReader, BlobSource, Client, HostConfig};
use slipway_session::caller::Session;
use slipway_solver::with_causes;
use slipway_worker::source::image::{Origin, RegistryOrigin};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf, copy, sink};

use super::import::{read_config, read_index};
use super::objects::StoreOrigin;
use super::options::Place;
use crate::build::Build;
use crate::engine::Engine;

const CHUNK: usize = 1 << 20;

pub(super) enum Target {
    Registry { client: Box<Client>, reference: Reference },
    Client { session: Session, store: String },
    Objects { store: Arc<dyn CacheStore> },
}

impl Target {
    pub(super) async fn open(engine: &Engine, build: &Build, place: &Place) -> Result<Self, String> {
        match place {
            Place::Registry { reference, insecure } => {
                let client = engine.worker.images.client(vec![build.session.clone()]);
                let client = match insecure {
                    true => client.with_host(reference.domain(), HostConfig::insecure()),
                    false => client,
                };
                Ok(Self::Registry { client: Box::new(client), reference: reference.clone() })
            }
            Place::Client { store } => {
                let session = engine.sessions.get(&build.session).await;
                let session = session.map_err(|error| with_causes(&error))?;
                Ok(Self::Client { session, store: store.clone() })
            }
            Place::Objects(place) => Ok(Self::Objects { store: place.open(engine) }),
        }
    }

    /// Makes sure that the blob is there; what is there is not sent again.
    pub(super) async fn blob(
        &self,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
    ) -> Result<(), String> {
        match self {
            Self::Registry { client, reference } => {
                let pushed = client.push_blob(reference, descriptor, source, &[], None).await;
                pushed.map(drop).map_err(|error| with_causes(&error))
            }
            Self::Client { session, store } => {
                let sent = send(session, store, descriptor, &*source).await;
                sent.map_err(|error| with_causes(&error))
            }
            Self::Objects { store } => {
                let is_there = store.has(&descriptor.digest).await.map_err(|error| with_causes(&error))?;
                if is_there {
                    return Ok(());
                }
                store.write(descriptor, source).await.map_err(|error| with_causes(&error))
            }
        }
    }

    /// Whether the blob is there, and stays for a while.
    pub(super) async fn has(&self, descriptor: &Descriptor) -> Result<bool, String> {
        let digest = &descriptor.digest;
        match self {
            Self::Registry { client, reference } => {
                client.has_blob(reference, descriptor).await.map_err(|error| with_causes(&error))
            }
            Self::Client { session, store } => {
                session.has_blob(store, digest).await.map_err(|error| with_causes(&error))
            }
            Self::Objects { store } => store.has(digest).await.map_err(|error| with_causes(&error)),
        }
    }

    /// The cache mounts that the cache there carries now. A client's folder does not tell which cache it holds.
    pub(super) async fn saved_mounts(&self) -> Result<Option<Index>, String> {
        let (origin, configs): (Arc<dyn Origin>, Vec<Config>) = match self {
            Self::Registry { client, reference } => {
                let (client, reference) = ((**client).clone(), reference.clone());
                let origin: Arc<dyn Origin> = Arc::new(RegistryOrigin { client, reference });
                let config = read_config(&origin).await?;
                (origin, config.into_iter().collect())
            }
            Self::Client { .. } => return Ok(None),
            Self::Objects { store } => {
                let found = store.configs().await.map_err(|error| with_causes(&error))?;
                let configs = found.iter().filter_map(|json| Config::parse(json).ok()).collect();
                (Arc::new(StoreOrigin { name: String::new(), store: store.clone() }), configs)
            }
        };
        // Of several the last: what this build writes to.
        match configs.iter().rev().find_map(|config| config.mounts.as_deref()) {
            Some(descriptor) => read_index(&origin, descriptor).await.map(Some),
            None => Ok(None),
        }
    }

    /// The manifest, when all that it names is there.
    pub(super) async fn manifest(&self, descriptor: &Descriptor, bytes: Bytes) -> Result<(), String> {
        match self {
            Self::Registry { client, reference } => {
                let pushed = client.push_manifest(reference, &descriptor.media_type, bytes).await;
                pushed.map(drop).map_err(|error| with_causes(&error))
            }
            Self::Client { .. } | Self::Objects { .. } => self.blob(descriptor, Arc::new(bytes)).await,
        }
    }
}

async fn send(
    session: &Session,
    store: &str,
    descriptor: &Descriptor,
    source: &dyn BlobSource,
) -> io::Result<()> {
    let digest = &descriptor.digest;
    if session.has_blob(store, digest).await.map_err(io::Error::other)? {
        return Ok(());
    }
    let mut reader = source.open(0).await?;
    // What cannot be read at all leaves nothing begun at the other side.
    let mut chunk = BytesMut::with_capacity(CHUNK);
    reader.read_buf(&mut chunk).await?;
    let mut writer = session.write_blob(store, digest, descriptor.size).await.map_err(io::Error::other)?;
    while !chunk.is_empty() {
        writer.write(chunk.split().freeze()).await.map_err(io::Error::other)?;
        chunk.reserve(CHUNK);
        reader.read_buf(&mut chunk).await?;
    }
    writer.finish().await.map_err(io::Error::other)
}

/// Blobs that are not where they were imported from, though the cache there tells of them.
#[derive(Clone, Default)]
pub(super) struct Lost(Arc<Mutex<HashSet<BlobDigest>>>);

impl Lost {
    pub(super) fn contains(&self, digest: &BlobDigest) -> bool {
        self.0.lock().contains(digest)
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }

    fn note(&self, digest: BlobDigest, error: io::Error) -> io::Error {
        self.0.lock().insert(digest);
        error
    }
}

/// A blob that is passed on from where it was imported. Who takes it checks it.
pub(super) struct OriginBlob {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) descriptor: Descriptor,
    pub(super) lost: Lost,
}

#[async_trait]
impl BlobSource for OriginBlob {
    async fn open(&self, offset: u64) -> io::Result<BlobReader> {
        let digest = self.descriptor.digest;
        let opened = self.origin.open(&self.descriptor).await.map_err(io::Error::other);
        let mut reader = opened.map_err(|error| self.lost.note(digest, error))?;
        copy(&mut (&mut reader).take(offset), &mut sink()).await?;
        Ok(Box::pin(Watched { reader, digest, lost: self.lost.clone() }))
    }
}

/// Some places say only with the first bytes that they have none.
struct Watched {
    reader: BlobReader,
    digest: BlobDigest,
    lost: Lost,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.reader.as_mut().poll_read(context, buffer);
        read.map_err(|error| self.lost.note(self.digest, error))
    }
}
