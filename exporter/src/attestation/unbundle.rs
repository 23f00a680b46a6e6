//! From what a build has to say to one attestation for each file.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use slipway_model::Digest;
use slipway_store::inroot;

use super::{Attestation, Content, Kind, PROVENANCE, Subject, read_file};
use crate::error::{Error, Result};

/// Statements in one bundle.
const MOST: usize = 10_000;

/// Bundles are opened, and the SBOM of the image itself comes first. Blocks.
pub fn unbundle(attestations: &[Attestation]) -> Result<Vec<Attestation>> {
    let mut single = Vec::new();
    for attestation in attestations {
        attestation.check()?;
        match attestation.kind {
            Kind::InToto => {
                let is_ours = matches!(attestation.content, Content::Made(_));
                if attestation.predicate_type.starts_with(PROVENANCE) && !is_ours {
                    return Err(Error::Attestation("frontend may not set provenance attestations".into()));
                }
                single.push(attestation.clone());
            }
            Kind::Bundle => single.extend(open(attestation)?),
        }
    }
    single.iter().try_for_each(Attestation::check)?;
    single.sort_by_key(|attestation| !attestation.is_core());
    Ok(single)
}

/// A statement as scanners write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(default)]
    predicate_type: String,
    /// Go writes `null` for an empty list.
    #[serde(default)]
    subject: Option<Vec<NamedDigests>>,
    predicate: Value,
}

#[derive(Deserialize)]
struct NamedDigests {
    #[serde(default)]
    name: String,
    #[serde(default)]
    digest: Option<std::collections::BTreeMap<String, String>>,
}

fn open(bundle: &Attestation) -> Result<Vec<Attestation>> {
    let Content::Tree(Some(tree)) = &bundle.content else {
        return Err(Error::Attestation("no ref provided for attestation bundle".into()));
    };
    let mounted = tree.mount()?;
    let folder = if bundle.path.is_empty() { "/" } else { &bundle.path };
    let mut entries = inroot::read_dir(mounted.root(), Path::new(folder), MOST)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut opened = Vec::new();
    for entry in entries {
        let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name.to_string_lossy());
        let bytes = read_file(mounted.root(), &path)?;
        opened.push(statement(bundle, path, &bytes)?);
    }
    Ok(opened)
}

fn statement(bundle: &Attestation, path: String, bytes: &[u8]) -> Result<Attestation> {
    let failed = |reason: String| Error::Attestation(format!("{path}: {reason}"));
    let statement: Statement = serde_json::from_slice(bytes)
        .map_err(|error| failed(format!("cannot decode in-toto statement: {error}")))?;
    let found = &statement.predicate_type;
    if found.starts_with(PROVENANCE) {
        return Err(failed("frontend may not bundle provenance attestations".into()));
    }
    if !bundle.predicate_type.is_empty() && *found != bundle.predicate_type {
        let wanted = &bundle.predicate_type;
        return Err(failed(format!("bundle entry {found} does not match required predicate type {wanted}")));
    }
    let subject = |named: NamedDigests| {
        let digests = named.digest.iter().flatten().map(|(algorithm, hex)| {
            let text = format!("{algorithm}:{hex}");
            text.parse::<Digest>().map_err(|error| failed(format!("subject {text}: {error}")))
        });
        Ok(Subject::Other { name: named.name, digests: digests.collect::<Result<_>>()? })
    };
    Ok(Attestation {
        kind: Kind::InToto,
        predicate_type: statement.predicate_type,
        subjects: statement.subject.into_iter().flatten().map(subject).collect::<Result<_>>()?,
        path: path.clone(),
        content: Content::Bytes(Bytes::from(statement.predicate.to_string())),
        sbom_core: bundle.sbom_core.clone(),
        inline_only: bundle.inline_only,
    })
}
