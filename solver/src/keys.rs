//! Names: of vertices, operations, cache keys, and the links between keys.
//!
//! | name | made from | tells |
//! |---|---|---|
//! | [`VertexDigest`] | the definition with all its inputs | same digest, same vertex |
//! | [`OpDigest`] | one operation without its inputs, as its cache map says | same digest, does the same to the same inputs |
//! | [`Selector`] | the part of an input an operation looks at | belongs to definition keys, never to content keys |
//! | [`ContentDigest`] | what an input contains | same digest, same bytes, whoever made them |
//! | [`KeyId`] | root, content or derived: below | one node of the graph of cache keys |
//!
//! Root and content keys are universal: BuildKit computes them the same way, byte for byte
//! (the digest of `"<op digest>@<output>"`, with output -1 for content). Derived keys are ours.

use std::fmt;
use std::sync::Arc;

pub use slipway_model::llb::VertexDigest;
use slipway_model::{Digest, Hasher};

use crate::load::FreshRun;

macro_rules! digest_of {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

digest_of! {
    /// The checksum of what an operation does, inputs excluded.
    OpDigest
}
digest_of! {
    /// The checksum of which part of an input an operation looks at.
    Selector
}
digest_of! {
    /// The checksum of what an operation sees of an input's content.
    ContentDigest
}

/// One node of the graph of cache keys: the identity of a result, however it came to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    hash: [u8; 32],
    /// Made from a source that only this client session can name (`random:` in BuildKit). Such a
    /// key never reaches a store: no other session could ever ask for it.
    session_bound: bool,
}

/// How a consumer sees one of its inputs' keys: the label of an edge between two keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Link {
    /// Which input of the consumer.
    pub input: usize,
    /// Which output of the consumer the link leads to.
    pub output: usize,
    pub operation: OpDigest,
    pub selector: Option<Selector>,
}

/// The name of a stored result, unique over all record sources; by convention it begins with the
/// name of its source and a colon.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RecordId(pub Arc<str>);

/// An input's key together with the selector it is looked at through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Seen {
    pub(crate) key: KeyId,
    pub(crate) selector: Option<Selector>,
}

impl KeyId {
    /// The key of an operation without inputs.
    pub fn root(operation: OpDigest, output: usize) -> Self {
        Self::hashed(format!("{operation}@{output}").as_bytes())
    }

    /// The key of some content, whoever made it.
    pub fn content(content: ContentDigest) -> Self {
        Self::hashed(format!("{content}@-1").as_bytes())
    }

    /// The key with this hash, read back from a store.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self { hash, session_bound: false }
    }

    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    pub fn is_session_bound(&self) -> bool {
        self.session_bound
    }

    pub(crate) fn bound_to_session(self) -> Self {
        Self { session_bound: true, ..self }
    }

    /// The key of an operation on inputs, each named by its most telling key. Session-bound as
    /// soon as one of them is.
    pub(crate) fn derived(operation: OpDigest, output: Option<usize>, inputs: &[Seen]) -> Self {
        let mut text = Hasher::new();
        text.update(format!("derived {operation}@{output:?}").as_bytes());
        for Seen { key, selector } in inputs {
            text.update(b" ");
            text.update(&key.hash);
            if let Some(selector) = selector {
                text.update(format!("/{selector}").as_bytes());
            }
        }
        let key = Self::from_digest(&text.finish());
        Self { session_bound: inputs.iter().any(|seen| seen.key.session_bound), ..key }
    }

    /// The key of an execution on inputs of which some are known by nothing but the fresh runs they
    /// came from: equal to no other, unless on the very same.
    pub(crate) fn on_fresh(self, runs: &[FreshRun]) -> Self {
        if runs.is_empty() {
            return self;
        }
        let mut text = Hasher::new();
        text.update(b"fresh ");
        text.update(&self.hash);
        runs.iter().for_each(|FreshRun(run)| text.update(format!(" {run}").as_bytes()));
        Self { session_bound: self.session_bound, ..Self::from_digest(&text.finish()) }
    }

    fn hashed(bytes: &[u8]) -> Self {
        Self::from_digest(&Digest::of(bytes))
    }

    fn from_digest(digest: &Digest) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self::from_hash(hash)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.session_bound { "~" } else { "" };
        write!(f, "{bound}{}", Digest::Sha256(self.hash).short())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_and_contents_are_named_as_buildkit_names_them() {
        let digest = Digest::of("foo");
        let expected = Digest::of(format!("{digest}@0"));
        assert_eq!(KeyId::root(OpDigest(digest), 0).hash(), expected.as_bytes());
        let expected = Digest::of(format!("{digest}@-1"));
        assert_eq!(KeyId::content(ContentDigest(digest)).hash(), expected.as_bytes());
    }

    #[test]
    fn every_part_enters_a_derived_key() {
        let op = |text: &str| OpDigest(Digest::of(text));
        let seen = |text: &str, selector: Option<&str>| Seen {
            key: KeyId::root(op(text), 0),
            selector: selector.map(|s| Selector(Digest::of(s))),
        };
        let keys = [
            KeyId::derived(op("a"), Some(0), &[seen("x", None)]),
            KeyId::derived(op("b"), Some(0), &[seen("x", None)]),
            KeyId::derived(op("a"), Some(1), &[seen("x", None)]),
            KeyId::derived(op("a"), None, &[seen("x", None)]),
            KeyId::derived(op("a"), Some(0), &[seen("y", None)]),
            KeyId::derived(op("a"), Some(0), &[seen("x", Some("/a"))]),
            KeyId::derived(op("a"), Some(0), &[seen("x", Some("/b"))]),
            KeyId::derived(op("a"), Some(0), &[seen("x", None), seen("x", None)]),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
