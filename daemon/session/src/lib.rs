//! Sessions: the client's end of a build, reached through one reversed HTTP/2 connection.
//!
//! A build client calls `Control.Session` and then *serves* on that stream: the daemon is the HTTP/2
//! client inside it. Through it the daemon reads the build context, asks for secrets and registry
//! credentials, and hands back files. The protocol is BuildKit's, unchanged.
//!
//! | side | module | runs in |
//! |---|---|---|
//! | who asks | [`caller`] | the daemon |
//! | who answers | [`provider`] | `slipway build`, or any BuildKit client |
//! | what both speak about files | [`fsutil`] | both |
//!
//! A session lives exactly as long as its stream. Nothing here retries: a session that dies fails
//! the calls made through it, and [`caller::Sessions`] forgets it.

mod agent;
pub mod caller;
mod error;
pub mod fsutil;
pub mod provider;
mod stream;

pub use error::{Error, Result};
pub use stream::SessionStream;

/// The largest message either side accepts.
pub const LARGEST_MESSAGE: usize = 16 << 20;

/// Metadata of a transfer of files: nothing else comes, so a client may remove what is not in it.
pub(crate) const IS_ALL: &str = "buildkit-exporter-multi-platform";
