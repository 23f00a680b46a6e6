//! A lock: what each source of a build came to, and may come to.
//!
//! | source | locked to |
//! |---|---|
//! | `docker-image://` | the digest of what the name means: an index or a manifest, the same for all platforms |
//! | `git://` | the commit, also behind an annotated tag |
//! | `http://`, `https://` | the digest of the file |
//! | `local://`, `oci-layout://`, uploads | nothing: they are the client's own |
//! | `docker-image+blob://`, `oci-layout+blob://` | nothing: a digest is their name |
//!
//! A build with a lock looks at every source of a graph before it solves the graph, so that all of them are noted and
//! nothing runs if one is not what it should be. Where only locked values are allowed, the value becomes an attribute
//! of the source ([`LOCKED`]): no other build's idea of the same name can slip in, as one vertex may serve several
//! builds. No cache key looks at that attribute.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use slipway_model::Reference;
use slipway_model::llb::pb;
use slipway_proto::gateway::ResolveSourceMetaResponse;
use slipway_session::caller::UPLOAD_HOST;

use super::credentials_of_url;
use crate::policy::name_of;

/// An attribute of a source that was compared with a lock.
pub(crate) const LOCKED: &str = "slipway.locked";

/// Values by source. Most have one; a name and a digest in one reference may give several.
pub type Values = BTreeMap<String, BTreeSet<String>>;

pub struct Lock {
    /// What the user calls it.
    name: String,
    /// Whether a source may only be what is listed.
    locked: bool,
    listed: Values,
    found: Mutex<Values>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "{lock}: {source_name} has changed: locked to {listed}, found {found}: to accept that, build with --lock \
         {lock} and without --locked, or else name what is locked in the Dockerfile"
    )]
    Changed { lock: String, source_name: String, listed: String, found: String },
    #[error(
        "{lock}: {source_name} is not listed, found {found}: to add it, build with --lock {lock} and without --locked"
    )]
    Unlisted { lock: String, source_name: String, found: String },
}

impl Lock {
    pub fn new(name: String, locked: bool, listed: Values) -> Self {
        Self { name, locked, listed, found: Mutex::default() }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.locked
    }

    /// What the build has used.
    pub fn found(&self) -> Values {
        self.found.lock().clone()
    }

    /// Notes what a source came to; an error if it may not. The value, if the source has one.
    pub(crate) fn note(&self, response: &ResolveSourceMetaResponse) -> Result<Option<String>, LockError> {
        let Some((source_name, found)) = entry(response) else { return Ok(None) };
        if self.locked {
            self.check(&source_name, &found)?;
        }
        self.found.lock().entry(source_name).or_default().insert(found.clone());
        Ok(Some(found))
    }

    fn check(&self, source_name: &str, found: &str) -> Result<(), LockError> {
        let (lock, source_name, found) = (self.name.clone(), source_name.to_owned(), found.to_owned());
        match self.listed.get(&source_name) {
            None => Err(LockError::Unlisted { lock, source_name, found }),
            Some(listed) if listed.contains(&found) => Ok(()),
            Some(listed) => {
                let listed = listed.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
                Err(LockError::Changed { lock, source_name, listed, found })
            }
        }
    }
}

/// The source's name in a lock, and what it came to.
fn entry(response: &ResolveSourceMetaResponse) -> Option<(String, String)> {
    let source = response.source.as_ref()?;
    let (scheme, rest) = source.identifier.split_once("://")?;
    if rest.split('/').next() == Some(UPLOAD_HOST) {
        return None;
    }
    let value = match (scheme, &response.image, &response.git, &response.http) {
        ("docker-image", Some(image), ..) => image.digest.clone(),
        (_, None, Some(git), _) if git.commit_checksum.is_empty() => git.checksum.clone(),
        (_, None, Some(git), _) => git.commit_checksum.clone(),
        (_, None, None, Some(http)) => http.checksum.clone(),
        _ => return None,
    };
    Some((locked_name(source), value))
}

/// A tag goes without the digest that stands beside it: that is its value.
fn locked_name(source: &pb::SourceOp) -> String {
    let name = name_of(source);
    let image = name.strip_prefix("docker-image://").and_then(|name| name.parse::<Reference>().ok());
    match image {
        Some(image) if image.tag().is_some() => format!("docker-image://{}", image.without_digest()),
        Some(image) => format!("docker-image://{image}"),
        None => credentials_of_url::hidden(&name),
    }
}

#[cfg(test)]
mod tests {
    use slipway_proto::gateway::{ResolveSourceGitResponse, ResolveSourceImageResponse};

    use super::*;

    fn image(identifier: &str, digest: &str) -> ResolveSourceMetaResponse {
        ResolveSourceMetaResponse {
            source: Some(pb::SourceOp { identifier: identifier.into(), ..Default::default() }),
            image: Some(ResolveSourceImageResponse { digest: digest.into(), ..Default::default() }),
            ..Default::default()
        }
    }

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_tag_is_the_name_and_a_digest_the_value() {
        let name = |reference: &str| {
            let response = image(&format!("docker-image://{reference}"), DIGEST);
            entry(&response).map(|(name, _)| name.trim_start_matches("docker-image://").to_owned())
        };
        for (reference, expected) in [
            ("docker.io/library/alpine:3", "docker.io/library/alpine:3".to_owned()),
            (&format!("docker.io/library/alpine:3@{DIGEST}"), "docker.io/library/alpine:3".to_owned()),
            (&format!("docker.io/library/alpine@{DIGEST}"), format!("docker.io/library/alpine@{DIGEST}")),
        ] {
            assert_eq!(name(reference), Some(expected));
        }
        let layout = image("oci-layout://x/y@z", DIGEST);
        assert_eq!(entry(&layout), None, "a layout is the client's own");
        let mut tag = image("git://user:secret@h/x#v1", "");
        tag.image = None;
        tag.git = Some(ResolveSourceGitResponse {
            checksum: "tag".into(),
            commit_checksum: "commit".into(),
            ..Default::default()
        });
        assert_eq!(entry(&tag), Some(("git://h/x#v1".into(), "commit".into())));
    }

    #[test]
    fn a_lock_lets_through_what_it_lists() {
        let name = "docker-image://docker.io/library/a:1".to_owned();
        let empty = Lock::new("x.lock".into(), true, Values::new());
        let error = empty.note(&image(&name, "one")).unwrap_err().to_string();
        assert!(error.contains("is not listed, found one"), "{error}");
        let listed: Values = [(name.clone(), ["one".to_owned()].into())].into();
        let strict = Lock::new("x.lock".into(), true, listed);
        assert_eq!(strict.note(&image(&name, "one")).unwrap().as_deref(), Some("one"));
        let error = strict.note(&image(&name, "two")).unwrap_err().to_string();
        for part in ["x.lock", name.as_str(), "locked to one", "found two", "without --locked"] {
            assert!(error.contains(part), "{error}");
        }
        let free = Lock::new("x.lock".into(), false, Values::new());
        free.note(&image(&name, "two")).unwrap();
        assert_eq!(free.found(), [(name, ["two".to_owned()].into())].into());
    }
}
