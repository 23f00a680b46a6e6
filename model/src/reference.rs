//! Image references: `[domain/]path[:tag][@digest]`, with Docker's familiar short forms.
//!
//! `alpine` means `docker.io/library/alpine:latest`. The grammar is that of the `distribution`
//! project's reference package; error texts are the ones its users match on.

use std::fmt;
use std::str::FromStr;

use crate::{BlobDigest, Digest};

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const LONGEST_NAME: usize = 255;

/// A fully qualified reference. `tag` and `digest` may both be absent, or both be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("repository name must not be more than {LONGEST_NAME} characters")]
    TooLong,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeDigest(String),
    #[error("unsupported digest algorithm")]
    Algorithm,
    #[error("invalid checksum digest format")]
    DigestFormat,
    #[error("invalid checksum digest length")]
    DigestLength,
}

impl Reference {
    /// The registry: `docker.io`, `ghcr.io`, `127.0.0.1:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository inside its registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<BlobDigest> {
        self.digest
    }

    /// `domain/path`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The short form people write: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: short name, tag, digest.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }

    /// With `:latest` if there is neither a tag nor a digest.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    pub fn with_digest(mut self, digest: BlobDigest) -> Self {
        self.digest = Some(digest);
        self
    }

    pub fn without_digest(mut self) -> Self {
        self.digest = None;
        self
    }

    /// What the registry's manifest endpoint is asked for: the digest if there is one, else the tag.
    pub fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".into()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if is_bare_hash(text) {
            return Err(ReferenceError::LooksLikeDigest(text.into()));
        }
        let (domain, rest) = split_domain(text);
        let rest = if domain == DEFAULT_DOMAIN && !rest.contains('/') {
            format!("{OFFICIAL_PREFIX}{rest}")
        } else {
            rest.to_owned()
        };
        let untagged = rest.split(':').next().unwrap_or_default();
        if untagged.to_lowercase() != untagged {
            return Err(ReferenceError::Uppercase(untagged.to_owned()));
        }
        let (name_and_tag, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match name_and_tag.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name_and_tag, None),
        };
        let well_formed = is_domain(&domain)
            && path.split('/').all(is_path_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(looks_like_digest);
        if !well_formed {
            return Err(ReferenceError::Format);
        }
        if path.len() > LONGEST_NAME {
            return Err(ReferenceError::TooLong);
        }
        let digest = digest.map(parse_digest).transpose()?;
        let path = path.to_owned();
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first part is a registry only if it looks like a host: a dot, a port, `localhost`, capitals.
fn split_domain(text: &str) -> (String, &str) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    (domain.to_owned(), rest)
}

fn is_bare_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Parts of letters and digits, each starting with a letter, then at least 32 hex digits of any case.
fn looks_like_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn parse_digest(text: &str) -> Result<BlobDigest, ReferenceError> {
    match text.parse::<Digest>() {
        Ok(digest) => Ok(BlobDigest(digest)),
        Err(crate::DigestError::Algorithm(name)) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
            Err(ReferenceError::DigestFormat)
        }
        Err(crate::DigestError::Algorithm(_)) => Err(ReferenceError::Algorithm),
        Err(crate::DigestError::Hex(_, length)) if hex_length(text) != length => {
            Err(ReferenceError::DigestLength)
        }
        Err(_) => Err(ReferenceError::DigestFormat),
    }
}

fn hex_length(text: &str) -> usize {
    text.split_once(':').map_or(0, |(_, hex)| hex.len())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let fine = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
                return fine && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let mut i = 0;
    loop {
        let start = i;
        while i < bytes.len() && alphanumeric(bytes[i]) {
            i += 1;
        }
        if i == start {
            return false;
        }
        if i == bytes.len() {
            return true;
        }
        let separator = i;
        while i < bytes.len() && !alphanumeric(bytes[i]) {
            i += 1;
        }
        let separator = &bytes[separator..i];
        if !matches!(separator, b"." | b"_" | b"__") && !separator.iter().all(|b| *b == b'-') {
            return false;
        }
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_completed() {
        let full = |text: &str| text.parse::<Reference>().map(|r| r.or_latest().to_string());
        assert_eq!(full("alpine").unwrap(), "docker.io/library/alpine:latest");
        assert_eq!(full("a/b:1").unwrap(), "docker.io/a/b:1");
        assert_eq!(full("127.0.0.1:5000/app").unwrap(), "127.0.0.1:5000/app:latest");
        assert_eq!(full("localhost/app:x").unwrap(), "localhost/app:x");
        assert!(full("A").is_err());
        assert!(full("a//b").is_err());
        assert!(full("a:").is_err());
    }
}
