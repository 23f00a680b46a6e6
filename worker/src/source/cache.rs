//! Results of imported caches: their layers, fetched from where the cache is.
//!
//! A result is lazy: nothing of it is fetched until an operation, an exporter or a frontend reads it
//! ([`make_real`]), and of that only the layers that are not here. A cache that does not hold what it says costs
//! the build a step and earns it a warning: the solver goes on without.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_cache::remote::records::{RemoteLayer, RemoteResults};
use slipway_solver::progress::Warning;
use slipway_solver::{Failure, Lost, OpContext, PrepareFn, with_causes};
use slipway_store::RecordType;
use tokio::sync::OnceCell;

use super::image::{ImageSource, LayerSet, Origin};
use crate::ops::Transfers;
use crate::{Error, Value};

/// The layers of one cache.
#[derive(Clone)]
pub struct CachedLayers {
    pub images: ImageSource,
    pub origin: Arc<dyn Origin>,
    /// The same place for other clients than the one that named it: that one may have left with its credentials.
    pub for_others: Option<OriginFor>,
    /// Of the cache, for people.
    pub name: String,
}

/// The place as the clients of these sessions may see it; `None` if it is the same for them.
pub type OriginFor = Arc<dyn Fn(Vec<String>) -> Option<Arc<dyn Origin>> + Send + Sync>;

/// A result that was found and not read yet, perhaps.
pub struct Lazy {
    cache: CachedLayers,
    layers: Vec<RemoteLayer>,
    real: OnceCell<Value>,
}

#[async_trait]
impl RemoteResults<Value> for CachedLayers {
    async fn load(&self, layers: &[RemoteLayer], _: &OpContext<Value>) -> Result<Value, Failure> {
        let lazy = Lazy { cache: self.clone(), layers: layers.to_vec(), real: OnceCell::new() };
        Ok(Value::Lazy(Arc::new(lazy)))
    }
}

/// Fetches what is lazy; for everything else there is nothing to do.
pub fn make_real() -> PrepareFn<Value> {
    Arc::new(|ctx, value| {
        Box::pin(async move {
            match value {
                Value::Lazy(lazy) => lazy.real.get_or_try_init(|| lazy.fetch(&ctx)).await.map(drop),
                _ => Ok(()),
            }
        })
    })
}

impl Lazy {
    /// What was fetched, if it was.
    pub(crate) fn real(&self) -> Option<&Value> {
        self.real.get()
    }

    /// Whoever reads has it fetched before: this is a mistake of ours.
    pub(crate) fn unread(&self) -> Error {
        Error::Failed(format!("a result of the cache {} is read before it is fetched", self.cache.name))
    }

    async fn fetch(&self, ctx: &OpContext<Value>) -> Result<Value, Failure> {
        let wanted = LayerSet {
            name: format!("the cache {}", self.cache.name),
            layers: self.layers.iter().map(|layer| (layer.descriptor.clone(), layer.diff_id)).collect(),
            described_by: Vec::new(),
        };
        let CachedLayers { images, origin, for_others, name } = &self.cache;
        let other = for_others.as_ref().and_then(|origin| origin(ctx.sessions()));
        let origin = other.as_ref().unwrap_or(origin);
        let progress = Arc::new(Transfers::of(ctx));
        let fetching = images.fetch_layers(origin.clone(), &wanted, RecordType::Regular, progress);
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
                    short: format!("a result of the cache {name} cannot be used: {cause}").into(),
                    detail: vec![Bytes::from_static(b"The step is done without it.")],
                    url: String::new(),
                });
                Err(Lost(Arc::new(Error::Image(error))).into())
            }
        }
    }
}
