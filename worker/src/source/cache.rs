//! Results of imported caches: their layers, fetched from where the cache is.
//!
//! Only what a build takes is fetched, and of that only the layers that are not here. A cache that does not
//! hold what it says costs the build a step and earns it a warning: the solver goes on without.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_cache::remote::records::{RemoteLayer, RemoteResults};
use slipway_solver::progress::Warning;
use slipway_solver::{Failure, OpContext, with_causes};
use slipway_store::RecordType;

use super::image::{ImageSource, LayerSet, Origin};
use crate::ops::Transfers;
use crate::{Error, Value};

/// The layers of one cache.
pub struct CachedLayers {
    pub images: ImageSource,
    pub origin: Arc<dyn Origin>,
    /// Of the cache, for people.
    pub name: String,
}

#[async_trait]
impl RemoteResults<Value> for CachedLayers {
    async fn load(&self, layers: &[RemoteLayer], ctx: &OpContext<Value>) -> Result<Value, Failure> {
        let wanted = LayerSet {
            name: format!("the cache {}", self.name),
            layers: layers.iter().map(|layer| (layer.descriptor.clone(), layer.diff_id)).collect(),
            described_by: Vec::new(),
        };
        let progress = Arc::new(Transfers::of(ctx));
        let fetching = self.images.fetch_layers(self.origin.clone(), &wanted, RecordType::Regular, progress);
        let fetched = tokio::select! {
            () = ctx.stop.cancelled() => return Err(Error::Cancelled.into()),
            fetched = fetching => fetched,
        };
        match fetched {
            Ok(snapshot) => Ok(snapshot.map_or(Value::Scratch, Value::Snapshot)),
            Err(error) => {
                let cause = with_causes(&error);
                ctx.warn(Warning {
                    level: 1,
                    short: format!("a result of the cache {} cannot be used: {cause}", self.name).into(),
                    detail: vec![Bytes::from_static(b"The step is done without it.")],
                    url: String::new(),
                });
                Err(Error::Image(error).into())
            }
        }
    }
}
