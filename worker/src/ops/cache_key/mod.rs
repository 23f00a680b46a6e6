//! Cache keys of operations: under which digest a result is found again.
//!
//! # Why byte for byte
//!
//! A cache exported by BuildKit must hit here and the other way round. So the digest of an
//! operation is the SHA-256 of exactly the text BuildKit hashes: the JSON that Go's `encoding/json`
//! makes of an operation after the parts that must not count are taken out. [`go_json`] is that
//! encoder, [`wire`] says which field prints under which name, and the files beside them say what
//! counts. The text itself is kept in [`CacheKey::preimage`], so that a cache miss can be explained.
//!
//! # What enters each key
//!
//! | operation | enters | left out |
//! |---|---|---|
//! | exec | arguments, environment, directory, user, hostname, ulimits, cgroup parent, valid exit codes, *names* of extra hosts, network, security, ids of secrets, ssh and devices, mounts, platform | host addresses, proxy variables, mount selectors (they become input selectors), cache ids unless they are the default, resource limits; and all mounts if there is only the plain writable root |
//! | file | each action's fields, and how actions are wired if that is not the usual chain | the folder of a copy's source (it becomes an input selector) |
//! | merge, diff, build, passthrough | the message as it is | nothing |
//! | image, OCI layout | manifest digest, platform, layer limit; then the chain of layers | reference, resolve mode, record type |
//! | blob | digest, file name, mode, owner | reference, store |
//! | http | file name, mode, owner, body digest, modification time, name of the secret, two headers | URL |
//! | git | commit, and what is made of it: `.git` kept, folder, submodules, times, bundle | URL, credentials |
//! | local | session, patterns, transfer mode; the name | shared key hint, unique id |
//!
//! # Inputs
//!
//! An operation's key is combined with those of its inputs. Where only part of an input is read,
//! [`InputKey::selector`] names that part (a digest over paths), and [`InputKey::content`] says how
//! to digest it, so that an input that was rebuilt with the same bytes still hits. Content may only
//! stand in for an input if nothing else of it can reach the result; the rules are in [`exec`] and
//! [`file`].
//!
//! A key of a `local` source holds its session, so it is of no use to another one:
//! [`CacheKey::persistent`] is false, it is written `random:` and never saved as a root; only its
//! content leads anywhere.

mod exec;
mod file;
mod go_json;
mod graph;
pub mod source;
mod wire;

pub use exec::exec;
pub use file::file;
pub use graph::{build, diff, merge, passthrough};

use slipway_model::Digest;
use slipway_store::content_hash::Selector;

/// Under which digest an operation is cached, and which part of its inputs counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    pub digest: Digest,
    /// The text whose SHA-256 `digest` is.
    pub preimage: String,
    /// One for each input of the vertex; none for sources.
    pub inputs: Vec<InputKey>,
    /// Whether the key means anything outside its session.
    pub persistent: bool,
}

/// Which part of an input counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputKey {
    /// Told apart from other parts of the same input by this; belongs to definition keys only.
    pub selector: Option<Digest>,
    /// How to digest the part, where its content may stand in for the input. An empty list is the
    /// whole tree.
    pub content: Option<Vec<Selector>>,
}

/// Why an operation has no cache key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheKeyError {
    /// A message that is incomplete, whatever its fields hold.
    #[error("invalid {0}")]
    Incomplete(&'static str),
    #[error("invalid mountinput {0}")]
    MountInput(String),
    #[error("invalid mount cache content {0}")]
    ContentCache(String),
    #[error("invalid passthrough output input index {0}")]
    PassthroughOutput(i64),
    #[error("invalid input index {index} in file op with {inputs} inputs")]
    FileInput { index: i64, inputs: usize },
    /// An attribute or identifier of a source that means nothing; the text is what users match on.
    #[error("{0}")]
    Source(String),
}

impl CacheKey {
    fn new(preimage: String, inputs: Vec<InputKey>) -> Self {
        Self { digest: Digest::of(&preimage), preimage, inputs, persistent: true }
    }

    /// As records name it: `sha256:…`, or `random:…` for a key that lives with its session.
    pub fn name(&self) -> String {
        if self.persistent { self.digest.to_string() } else { format!("random:{}", self.digest.hex()) }
    }
}

/// Drops equal paths and those below another one; sorted.
fn without_nested(paths: &[String]) -> Vec<String> {
    if paths.len() <= 1 {
        return paths.to_vec();
    }
    let unique: std::collections::BTreeSet<&String> = paths.iter().collect();
    let below = |path: &str, other: &str| match other.strip_suffix('/') {
        Some(_) => path.starts_with(other),
        None => path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/')),
    };
    unique
        .iter()
        .filter(|path| !unique.iter().any(|other| other != *path && below(path, other)))
        .map(|path| (*path).clone())
        .collect()
}
