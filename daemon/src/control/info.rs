//! Which program this is.

use slipway_proto::control::{InfoResponse, types};

/// The Dockerfile language that the built-in frontend implements.
const DOCKERFILE_VERSION: &str = "1.20";

pub(super) fn info() -> InfoResponse {
    InfoResponse { buildkit_version: Some(version()) }
}

pub(super) fn version() -> types::BuildkitVersion {
    types::BuildkitVersion {
        package: "slipway".into(),
        version: concat!("v", env!("CARGO_PKG_VERSION")).into(),
        revision: String::new(),
        dockerfile_version: DOCKERFILE_VERSION.into(),
    }
}
