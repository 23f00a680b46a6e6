//! The daemon's side: sessions that are connected, and what can be asked through them.

mod agent;
mod auth;
mod connection;
pub(crate) mod content;
mod exporters;
mod files;
mod health;
mod ingest;
mod lock;
mod output;
mod policy;
mod secrets;
mod sessions;
mod upload;

pub use agent::{AgentSocket, SocketAccess};
pub use auth::{Credential, Token, TokenRequest};
pub use connection::{Introduction, Session};
pub use files::SyncRequest;
pub use health::Patience;
pub use ingest::BlobWriter;
pub use lock::HAS_LOCK;
pub use output::FileWriter;
pub use sessions::Sessions;
pub use upload::{UPLOAD_HOST, Upload};
