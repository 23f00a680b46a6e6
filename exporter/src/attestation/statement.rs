//! A statement of in-toto: what is said, and what about
//! (<https://github.com/in-toto/attestation/blob/main/spec/README.md#statement>).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use slipway_model::{BlobDigest, Descriptor, Digest, PackageUrl, Platform, Reference};

use super::{Attestation, Subject};
use crate::error::{Error, Result};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Members in in-toto's order.
#[derive(Debug, Serialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub subject: Vec<NamedDigests>,
    predicate: Value,
}

/// One thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedDigests {
    pub name: String,
    /// Hexadecimal, by algorithm.
    pub digest: BTreeMap<String, String>,
}

impl NamedDigests {
    pub fn new(name: impl Into<String>, digests: &[Digest]) -> Self {
        let digest = digests.iter().map(|digest| (digest.algorithm().to_owned(), digest.hex())).collect();
        Self { name: name.into(), digest }
    }
}

/// The image itself, once for each of its names.
pub fn image_subjects(
    names: &str,
    platform: Option<&Platform>,
    manifest: BlobDigest,
) -> Result<Vec<NamedDigests>> {
    let subject = |name: &str| {
        let reference: Reference =
            name.parse().map_err(|source| Error::Name { name: name.into(), source })?;
        let purl = PackageUrl::image("docker", &reference, platform);
        Ok(NamedDigests::new(purl.to_string(), &[manifest.0]))
    };
    names.split(',').filter(|name| !name.is_empty()).map(subject).collect()
}

impl Attestation {
    /// What it says, for an image of these layers; about `itself` unless it says otherwise. Blocks.
    pub fn statement(&self, layers: &[Descriptor], itself: &[NamedDigests]) -> Result<Statement> {
        let content = self.read(layers)?;
        let predicate = match &content[..] {
            b"" => Value::Null,
            content => serde_json::from_slice(content)
                .map_err(|error| Error::Attestation(format!("{}: no JSON: {error}", self.path)))?,
        };
        let only_itself = [Subject::Image { name: String::new() }];
        let subjects = if self.subjects.is_empty() { &only_itself } else { &self.subjects[..] };
        let mut subject = Vec::new();
        for one in subjects {
            match one {
                Subject::Image { name } => {
                    for own in itself {
                        subject.push(own.clone());
                        if !name.is_empty() && name != "_" {
                            subject.push(NamedDigests { name: name.clone(), digest: own.digest.clone() });
                        }
                    }
                }
                Subject::Other { name, digests } => {
                    let name = if name.is_empty() { "_" } else { name };
                    subject.push(NamedDigests::new(name, digests));
                }
            }
        }
        Ok(Statement { kind: STATEMENT, predicate_type: self.predicate_type.clone(), subject, predicate })
    }
}
