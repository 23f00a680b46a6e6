//! Which program this is.

pub const PACKAGE: &str = "github.com/slipway/slipway";
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
/// The commit that was built, if whoever built it said so.
pub const REVISION: &str = match option_env!("SLIPWAY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
/// The Dockerfile language that the built-in frontend implements.
pub(crate) const DOCKERFILE: &str = "1.20";
