//! From a pinned image to a snapshot: only the layers that are not here, unpacked while they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_model::{BlobDigest, ChainId, Descriptor, DiffId, Hasher};
use slipway_store::layer::{LayerInput, unpack};
use slipway_store::{RecordType, Ref, Store};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::incoming::Incoming;
use super::{Error, ImageSource, LayerProgress, LayerState, Origin, Pinned};

/// Layers on their way at a time: as many as a registry is asked for at a time.
const AT_ONCE: usize = 4;

/// Layers to fetch, from the bottom up.
pub struct LayerSet {
    /// Of what they are a part, for people.
    pub name: String,
    pub layers: Vec<(Descriptor, DiffId)>,
    /// Blobs that stay as long as the layers do.
    pub described_by: Vec<BlobDigest>,
}

impl LayerSet {
    fn chain(&self) -> Option<ChainId> {
        ChainId::of(&self.layers.iter().map(|(_, diff_id)| *diff_id).collect::<Vec<_>>())
    }
}

impl ImageSource {
    /// The snapshot of the image; `None` if it has no layers. Dropping the future stops the transfers.
    pub async fn fetch(
        &self,
        origin: Arc<dyn Origin>,
        pinned: &Pinned,
        record_type: RecordType,
        progress: Arc<dyn LayerProgress>,
    ) -> Result<Option<Ref>, Error> {
        let layers = LayerSet {
            name: pinned.name.clone(),
            layers: pinned.layers.clone(),
            described_by: pinned.described_by().to_vec(),
        };
        self.fetch_layers(origin, &layers, record_type, progress).await
    }

    /// The same for layers of no image: those of a cached result.
    pub async fn fetch_layers(
        &self,
        origin: Arc<dyn Origin>,
        wanted: &LayerSet,
        record_type: RecordType,
        progress: Arc<dyn LayerProgress>,
    ) -> Result<Option<Ref>, Error> {
        let Some(chain) = wanted.chain() else { return Ok(None) };
        let turn = self.turn(chain);
        let _mine = turn.lock().await;
        match self.unpack(&origin, wanted, record_type, &progress).await {
            // If one of our own blobs is damaged, it is pulled once more.
            Err(Error::Layer { .. }) if self.forget_damaged(wanted).await? => {
                self.unpack(&origin, wanted, record_type, &progress).await
            }
            Err(Error::Layer { name, source }) => match origin.without_mirrors() {
                Some(origin) => {
                    tracing::debug!(
                        name,
                        error = &*source as &dyn std::error::Error,
                        "asking without mirrors"
                    );
                    self.unpack(&origin, wanted, record_type, &progress).await
                }
                None => Err(Error::Layer { name, source }),
            },
            result => result,
        }
    }

    /// The lock of all who want this chain.
    fn turn(&self, chain: ChainId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock();
        fetching.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = fetching.get(&chain).and_then(std::sync::Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        fetching.insert(chain, Arc::downgrade(&turn));
        turn
    }

    async fn unpack(
        &self,
        origin: &Arc<dyn Origin>,
        wanted: &LayerSet,
        record_type: RecordType,
        progress: &Arc<dyn LayerProgress>,
    ) -> Result<Option<Ref>, Error> {
        let stop = CancellationToken::new();
        let _stops_when_dropped = stop.clone().drop_guard();
        let description = format!("pulled from {}", wanted.name);
        let mut inputs = Vec::new();
        let mut opened = Vec::new();
        // Blobs stay at least until the snapshots that name them are there.
        let mut leases = Vec::new();
        for (descriptor, diff_id) in &wanted.layers {
            leases.push(self.store.blobs().hold(&descriptor.digest));
            let flag = Arc::new(AtomicBool::new(false));
            opened.push(flag.clone());
            let incoming = Incoming {
                store: self.store.clone(),
                origin: origin.clone(),
                descriptor: descriptor.clone(),
                progress: progress.clone(),
                stop: stop.clone(),
                runtime: Handle::current(),
                opened: flag,
            };
            // A cache may know what made a layer; that is no part of the layer.
            let mut described = descriptor.clone();
            let known = described.annotations.remove(slipway_cache::remote::DESCRIPTION);
            inputs.push(LayerInput {
                descriptor: described,
                diff_id: *diff_id,
                description: known.unwrap_or_else(|| description.clone()),
                open: Box::new(move || incoming.open()),
            });
        }
        let name = wanted.name.clone();
        let described = wanted.described_by.clone();
        let found = self
            .blocking(move |store| {
                let unpacked = unpack(store, inputs, record_type, AT_ONCE);
                drop(leases);
                let unpacked = unpacked.map_err(|source| Error::Layer { name, source: Box::new(source) })?;
                // As long as the image is here, nobody has to be asked what it is.
                if let Some(snapshot) = &unpacked {
                    snapshot.attach_blobs(&described)?;
                }
                Ok::<_, Error>(unpacked)
            })
            .await?;
        for ((descriptor, _), opened) in wanted.layers.iter().zip(opened) {
            let state = if opened.load(Ordering::Relaxed) { LayerState::Done } else { LayerState::Exists };
            progress.layer(&descriptor.digest, state, descriptor.size, descriptor.size);
        }
        Ok(found)
    }

    /// Removes layer blobs that are not what their names say; `false` if there are none. What damage
    /// looks like to who unpacks it is anybody's guess, so all of the image's are looked at.
    async fn forget_damaged(&self, wanted: &LayerSet) -> Result<bool, Error> {
        let layers: Vec<_> = wanted.layers.iter().map(|(descriptor, _)| descriptor.digest).collect();
        self.blocking(move |store| {
            let mut found = false;
            for digest in layers {
                if !is_whole(store, &digest)? {
                    tracing::warn!(%digest, "a damaged blob is fetched again");
                    store.blobs().remove(&digest)?;
                    found = true;
                }
            }
            Ok::<_, Error>(found)
        })
        .await
    }
}

/// Also if it is not here: then there is nothing wrong with it.
fn is_whole(store: &Store, digest: &BlobDigest) -> Result<bool, Error> {
    let mut file = match store.blobs().open(digest) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(true),
        Err(slipway_store::Error::WrongSize { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut hasher = Hasher::new();
    Ok(std::io::copy(&mut file, &mut hasher).is_ok() && BlobDigest(hasher.finish()) == *digest)
}
