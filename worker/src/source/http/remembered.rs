//! What is known of an earlier answer: kept as a fact of the snapshot that holds its body, found by everything that
//! shaped the request and the file. When the snapshot is pruned, this is forgotten with it.

use serde::{Deserialize, Serialize};
use slipway_model::Digest;
use slipway_registry::WebResponse;
use slipway_store::{Ref, Store};

use crate::ops::cache_key::source::HttpIdentifier;
use crate::{Error, Result};

const FACT: &str = "http";

#[derive(Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) digest: Digest,
    pub(super) filename: String,
    /// `ETag` and `Last-Modified`, as they came.
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

impl Remembered {
    /// Of an answer whose body is still to be read.
    pub(super) fn of(response: &WebResponse, filename: String) -> Self {
        let header = |name| response.header(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Self { digest: Digest::of(""), filename, etag: header("etag"), modified: header("last-modified") }
    }

    pub(super) fn find(store: &Store, identifier: &HttpIdentifier) -> Result<Option<(Self, Ref)>> {
        let Some(snapshot) = store.named(&name(identifier))? else { return Ok(None) };
        let fact = snapshot.fact(FACT)?;
        // Written by another version: as if nothing were known.
        let remembered = fact.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(remembered.map(|remembered| (remembered, snapshot)))
    }

    pub(super) fn keep(&self, snapshot: &Ref, identifier: &HttpIdentifier) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Failed(error.to_string()))?;
        snapshot.set_fact(FACT, &bytes)?;
        Ok(snapshot.store().set_name(&name(identifier), snapshot)?)
    }

    /// Whether `response` says that nothing has changed. Some servers send the whole file again with the tag it
    /// had before; its body need not be read.
    pub(super) fn is_answered_by(&self, response: &WebResponse) -> bool {
        let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
        let answered = response.header("etag").map(strong);
        let ours = self.etag.as_deref().map(strong);
        match response.status() {
            304 => answered.is_none() || ours.is_none() || answered == ours,
            200 => ours.is_some() && answered == ours,
            _ => false,
        }
    }
}

/// Everything that shapes the request and the file. The address may hold a password, so only a digest is kept.
pub(super) fn name(identifier: &HttpIdentifier) -> String {
    let HttpIdentifier {
        url,
        filename,
        mode,
        uid,
        gid,
        auth_header_secret,
        headers,
        checksum: _,
        signature: _,
    } = identifier;
    let asked = format!("{url:?}{filename:?}{mode}:{uid}:{gid}{auth_header_secret:?}{headers:?}");
    format!("http\n{}", Digest::of(asked).hex())
}
