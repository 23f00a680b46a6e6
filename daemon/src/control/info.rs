//! Which program this is, on the wire.

use slipway_proto::control::{InfoResponse, types};

use crate::version::{DOCKERFILE, PACKAGE, REVISION, VERSION};

pub(super) fn info() -> InfoResponse {
    InfoResponse { buildkit_version: Some(version()) }
}

pub(super) fn version() -> types::BuildkitVersion {
    types::BuildkitVersion {
        package: PACKAGE.into(),
        version: VERSION.into(),
        revision: REVISION.into(),
        dockerfile_version: DOCKERFILE.into(),
    }
}
