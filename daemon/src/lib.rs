//! The daemon: BuildKit's gRPC services over one store, one solver and one worker.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | what can be configured, from a file in buildkitd's form or from flags |
//! | [`engine`] | everything that lives as long as the daemon, and how it is put together |
//! | [`control`] | `moby.buildkit.v1.Control`, a file per method |
//! | [`bridge`] | `moby.buildkit.v1.frontend.LLBBridge`, for clients that are frontends |
//! | [`build`] | one build: its journal, its gateway for frontends, its results and exports |
//! | [`listen`] | sockets, and who is connected; with [`tls`] where certificates are given |
//! | [`telemetry`] | metrics, and the address where they are |
//! | [`serve`] | the life of a daemon; [`notify`] tells a service manager of it |

mod bridge;
mod build;
pub mod config;
mod control;
mod engine;
mod error;
mod listen;
mod memory;
mod notify;
mod serve;
mod telemetry;
mod tls;
pub mod version;

pub use config::Config;
pub use error::{Error, Result};
pub use serve::Daemon;
