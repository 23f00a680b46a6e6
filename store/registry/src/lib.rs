//! The registry: a store far away (OCI distribution-spec 1.1).
//!
//! One [`Client`] serves the whole program: it owns the connections (reused, HTTP/2 where offered),
//! the tokens and the limit of parallel transfers per host.
//!
//! | file | holds |
//! |---|---|
//! | `client` | options, and the handles that share connections |
//! | `host`, `endpoint`, `connection` | which servers answer for a domain, and how they are reached |
//! | `credentials`, `auth` | accounts; challenges, scopes and tokens |
//! | `request`, `retry`, `limit`, `body` | one request: authorised, redirected, tried again, bounded |
//! | `manifest`, `resolve`, `platform` | from a name to an image |
//! | `referrers` | what refers to a manifest: signatures |
//! | `pull`, `push` | blobs |
//! | `web`, `exchange` | one file of any web server, or one request to it, over the same connections |
//! | `error` | what is told when it fails |
//!
//! # Whom to trust with what
//!
//! | who | gets |
//! |---|---|
//! | the host of the reference, and its mirrors | their own credentials, never each other's |
//! | the token service a registry names | that registry's credentials; over TLS unless the registry itself is plain |
//! | a web server that a build names | what the build gives for that server, never a registry's credentials |
//! | an object store that a build names | requests that the build's own key signed, for that server alone |
//! | the target of a redirect, or an upload location, elsewhere | no `Authorization` at all, and its challenges are not answered |
//! | everybody | nothing is believed: manifests and blobs are hashed as they arrive |
//!
//! A name (a tag) is believed as far as the connection can be: its answer is the digest that
//! everything after it is checked against.
//!
//! Absent on purpose: deletion, the catalogue, schema 1 manifests, storing any credential.

mod auth;
mod body;
mod client;
mod connection;
mod credentials;
mod endpoint;
mod error;
mod exchange;
mod host;
mod limit;
mod manifest;
mod platform;
mod pull;
mod push;
mod referrers;
mod request;
mod resolve;
mod retry;
mod traffic;
mod web;

pub use client::{Client, ClientOptions};
pub use credentials::{Anonymous, Credential, Credentials, CredentialsError, Token, TokenRequest};
pub use error::{Answer, Asked, Error, RegistryError};
pub use exchange::{Exchange, ExchangePayload};
pub use host::{HostConfig, KeyPair};
pub use manifest::{LARGEST_CONFIG, LARGEST_MANIFEST};
pub use platform::ResolvedPlatform;
pub use pull::BlobStream;
pub use push::{BlobReader, BlobSource, Progress, Pushed};
pub use resolve::Resolved;
pub use retry::RetryOptions;
pub use traffic::Traffic;
pub use web::{WebRequest, WebResponse};
