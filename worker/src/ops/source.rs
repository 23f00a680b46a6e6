//! Where trees come from: `pb.SourceOp`, an operation for each scheme.

use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_solver::Op;

use super::image::ImageOp;
use crate::source::blob::{self, BlobOp};
use crate::source::git::GitOp;
use crate::source::http::HttpOp;
use crate::source::local::LocalOp;
use crate::source::of_build::BuildSources;
use crate::{Error, Result, Value, Worker};

/// The operation for `source.identifier`, such as `docker-image://docker.io/library/alpine:latest`.
pub(super) fn load(
    worker: Arc<Worker>,
    build: Arc<BuildSources>,
    source: &pb::SourceOp,
    platform: Option<&pb::Platform>,
) -> Result<Arc<dyn Op<Value>>> {
    let unsupported = || Error::Unsupported(format!("the source {:?}", source.identifier));
    let (scheme, rest) = source.identifier.split_once("://").ok_or_else(unsupported)?;
    match scheme {
        "docker-image" | "oci-layout" => Ok(Arc::new(ImageOp::new(worker, build, rest, source, platform)?)),
        "git" => Ok(Arc::new(GitOp::new(worker, build, rest, source)?)),
        "http" | "https" => Ok(Arc::new(HttpOp::new(worker, build, source)?)),
        blob::REGISTRY | blob::LAYOUT => Ok(Arc::new(BlobOp::new(worker, scheme, rest, source)?)),
        "local" => Ok(Arc::new(LocalOp::new(worker, rest, source)?)),
        _ => Err(unsupported()),
    }
}
