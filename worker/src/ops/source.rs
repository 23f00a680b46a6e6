//! Where trees come from: `pb.SourceOp`, one module in [`crate::source`] for each scheme.

use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_solver::Op;

use crate::source::{image, local};
use crate::{Error, Result, Value, Worker};

pub(super) struct SourceOp;

impl SourceOp {
    /// The operation for `source.identifier`, such as `docker-image://docker.io/library/alpine:latest`.
    pub(super) fn load(
        worker: Arc<Worker>,
        source: &pb::SourceOp,
        platform: Option<&pb::Platform>,
    ) -> Result<Arc<dyn Op<Value>>> {
        let unsupported = || Error::Unsupported(format!("the source {:?}", source.identifier));
        let (scheme, rest) = source.identifier.split_once("://").ok_or_else(unsupported)?;
        match scheme {
            "docker-image" => Ok(Arc::new(image::ImageOp::new(worker, rest, source, platform)?)),
            "local" => Ok(Arc::new(local::LocalOp::new(worker, rest, source)?)),
            _ => Err(unsupported()),
        }
    }
}
