//! Images as sources.
//!
//! | file | holds |
//! |---|---|
//! | `named` | an image as an operation names it |
//! | `origin` | what an image is read from: a registry, a layout |
//! | `pin` | name → manifest, config, layers and cache keys, with as few questions as possible |
//! | `attestations` | what is said about an image beside it, and who signed that |
//! | `records` | what was pulled before, and under which name |
//! | `fetch`, `incoming` | layers → snapshots, unpacked while they arrive |
//! | `progress` | what is told meanwhile |
//!
//! # What the registry is asked
//!
//! | | first | again, unchanged |
//! |---|---|---|
//! | a tag, `default` or `pull` | HEAD, manifests, config | HEAD |
//! | a tag, `local` | HEAD, manifests, config | nothing |
//! | a digest, whatever the mode | manifests, config | nothing |
//!
//! A digest is answered from here only if it was once pulled from the same repository: who knows the
//! digest of somebody's private image has not thereby the right to it. A tag in mode `default` whose
//! registry does not answer within [`PATIENCE`](super::answers::PATIENCE) is what it was when it was last asked for,
//! with a warning. Where another program keeps images by name ([`KnownImages`]), what it knows counts as known before,
//! and does also if the registry does not have the tag or does not give it out: the image may never have been pushed.
//! The other program's blobs are those of the store.

mod attestations;
mod error;
mod fetch;
mod incoming;
mod named;
mod origin;
mod pin;
mod progress;
mod records;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slipway_model::{BlobDigest, ChainId, Descriptor, Platform};
use slipway_store::Store;

pub use error::Error;
pub use fetch::LayerSet;
pub(crate) use named::NamedImage;
pub use origin::{Origin, Reader, RegistryOrigin};
pub use pin::Pinned;
pub use progress::{LayerProgress, LayerState, Silent};

/// Which image, and how eagerly its name is looked up (attributes of `docker-image://` sources).
#[derive(Clone, Debug)]
pub struct ImageRequest {
    pub platform: Platform,
    pub resolve_mode: ResolveMode,
    /// What the name has to mean (`image.checksum`).
    pub checksum: Option<BlobDigest>,
    /// Only so many layers, from the bottom (`image.layerlimit`).
    pub layer_limit: Option<u32>,
}

impl ImageRequest {
    pub fn new(platform: Platform) -> Self {
        Self { platform, resolve_mode: ResolveMode::Default, checksum: None, layer_limit: None }
    }
}

/// `image.resolvemode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResolveMode {
    /// Ask; what was known before will do if nobody answers, and what is kept elsewhere if there is nothing to be had.
    #[default]
    Default,
    /// Ask.
    Pull,
    /// What was known before will do.
    Local,
}

impl FromStr for ResolveMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "" | "default" => Ok(Self::Default),
            "pull" => Ok(Self::Pull),
            "local" => Ok(Self::Local),
            _ => Err(Error::ResolveMode(text.to_owned())),
        }
    }
}

/// Images that another program has by name, and whose blobs the store can adopt. Blocks.
pub trait KnownImages: Send + Sync {
    /// What a name, as references are written, means there. One that cannot be asked knows nothing.
    fn named(&self, name: &str) -> Option<Descriptor>;
}

/// The image source of a worker. Cheap to clone.
#[derive(Clone)]
pub struct ImageSource {
    store: Store,
    known: Option<Arc<dyn KnownImages>>,
    /// Fetches under way, by the image's chain: the second waits for the first and finds it done.
    fetching: Arc<Mutex<HashMap<ChainId, Weak<tokio::sync::Mutex<()>>>>>,
}

impl ImageSource {
    /// Brings its tables up to date. Blocks.
    pub fn new(store: Store) -> Result<Self, Error> {
        records::migrate(&store)?;
        Ok(Self { store, known: None, fetching: Arc::default() })
    }

    /// The same, with images that are known elsewhere.
    #[must_use]
    pub fn knowing(self, known: Arc<dyn KnownImages>) -> Self {
        Self { known: Some(known), ..self }
    }

    /// Runs `work`, which blocks, where that does no harm.
    async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(Error::Stopped(error)),
        }
    }
}
