//! What is told while layers arrive.

use slipway_model::BlobDigest;

/// Called from the threads that do the work, often: be quick.
pub trait LayerProgress: Send + Sync {
    /// `current` of `total` bytes of the layer's blob.
    fn layer(&self, layer: &BlobDigest, state: LayerState, current: u64, total: u64);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// Arriving, and unpacked as it does.
    Pulling,
    /// The blob was here; it is being unpacked.
    Unpacking,
    /// In its place.
    Done,
    /// Nothing had to be done: its snapshot was here.
    Exists,
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl LayerProgress for Silent {
    fn layer(&self, _layer: &BlobDigest, _state: LayerState, _current: u64, _total: u64) {}
}
