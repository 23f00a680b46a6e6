//! The daemon: BuildKit's gRPC services over one store, one solver and one worker.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | what can be configured, from a file in buildkitd's form or from flags |
//! | [`engine`] | everything that lives as long as the daemon, and how it is put together |
//! | [`control`] | `moby.buildkit.v1.Control`, a file per method |
//! | [`bridge`] | `moby.buildkit.v1.frontend.LLBBridge`, what frontends ask |
//! | [`gateway`] | frontends in images |
//! | [`frontends`] | which frontends builds may use |
//! | [`history`] | what builds were there: their records and logs |
//! | [`build`] | one build: its journal, its gateway for frontends, its results and exports |
//! | [`check`] | what is wrong in a root that nobody uses |
//! | [`explain`] | why steps ran: followed while a build goes on, kept, served |
//! | [`provenance`] | where results came from |
//! | [`gc`] | what may stay in the store, and when the rest goes |
//! | [`listen`] | sockets, and who is connected; with [`tls`] where certificates are given |
//! | `containerd` | the worker on a containerd, where one is asked for |
//! | [`telemetry`] | metrics, and the address where they are |
//! | [`serve`] | the life of a daemon; [`notify`] tells a service manager of it |

mod bridge;
mod build;
pub mod check;
pub mod config;
mod containerd;
mod control;
mod duration;
mod engine;
mod error;
mod explain;
mod frontends;
mod gateway;
pub mod gc;
mod history;
mod listen;
mod memory;
mod network;
mod notify;
mod provenance;
mod serve;
mod telemetry;
mod tls;
pub mod version;

pub use config::Config;
pub use error::{Error, Result};
pub use frontends::Frontends;
pub use history::Limits as HistoryLimits;
pub use serve::Daemon;
pub use slipway_worker::LogLimits;
