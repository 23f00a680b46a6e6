//! What a frontend says about its result, beside the result itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use slipway_exporter::attestation::{Attestation, Content, Kind, PROVENANCE, Subject};
use slipway_model::Digest;
use slipway_proto::gateway as wire;
use slipway_worker::Value;

use super::refs::{Reference, Refs};
use crate::build::Build;
use crate::build::failure::Failure;
use crate::engine::Engine;

/// Where a frontend notes that an attestation is the SBOM of the image itself.
const SBOM_CORE: &str = "sbom-core";
const INLINE_ONLY: &str = "inline-only";

/// An attestation whose tree need not be solved yet.
#[derive(Clone)]
pub(crate) struct Told {
    kind: Kind,
    predicate_type: String,
    subjects: Vec<Subject>,
    path: String,
    metadata: BTreeMap<String, Bytes>,
    /// `None` is scratch.
    pub reference: Option<Arc<Reference>>,
}

/// By platform, as the frontend names them.
pub(crate) type AllTold = BTreeMap<String, Vec<Told>>;

pub(super) fn read(refs: &Refs, wire: BTreeMap<String, wire::Attestations>) -> Result<AllTold, Failure> {
    let all = |attestations: wire::Attestations| {
        attestations.attestation.into_iter().map(|one| Told::read(refs, one)).collect::<Result<_, _>>()
    };
    wire.into_iter().map(|(platform, attestations)| Ok((platform, all(attestations)?))).collect()
}

impl Told {
    fn read(refs: &Refs, wire: wire::Attestation) -> Result<Self, Failure> {
        let kind = match wire.kind() {
            wire::AttestationKind::InToto => Kind::InToto,
            wire::AttestationKind::Bundle => Kind::Bundle,
        };
        if wire.in_toto_predicate_type.starts_with(PROVENANCE) {
            return Err(Failure::invalid("frontend may not set provenance attestations"));
        }
        let reference = wire.r#ref.map(|reference| refs.get(&reference.id)).transpose()?.flatten();
        Ok(Self {
            kind,
            predicate_type: wire.in_toto_predicate_type,
            subjects: wire.in_toto_subjects.into_iter().map(subject).collect::<Result<_, _>>()?,
            path: wire.path,
            metadata: wire.metadata,
            reference,
        })
    }

    /// For a frontend that asked another one; `name` gives the tree a name of its own.
    pub(super) fn respond(
        self,
        name: impl Fn(Option<Arc<Reference>>) -> Result<wire::Ref, Failure>,
    ) -> Result<wire::Attestation, Failure> {
        let kind = match self.kind {
            Kind::InToto => wire::AttestationKind::InToto,
            Kind::Bundle => wire::AttestationKind::Bundle,
        };
        Ok(wire::Attestation {
            kind: kind.into(),
            metadata: self.metadata,
            r#ref: Some(name(self.reference)?),
            path: self.path,
            in_toto_predicate_type: self.predicate_type,
            in_toto_subjects: self.subjects.into_iter().map(wire_subject).collect(),
        })
    }

    /// Its tree, solved.
    pub(super) async fn solve(self, engine: &Arc<Engine>, build: &Build) -> Result<Attestation, Failure> {
        let value = match &self.reference {
            None => Value::Scratch,
            Some(reference) => reference.value(engine, build).await?,
        };
        let snapshot = match value {
            Value::Scratch => None,
            value => {
                let worker = engine.worker.clone();
                let made = tokio::task::spawn_blocking(move || worker.snapshot_of(&value)).await;
                made.map_err(|error| Failure::internal(error.to_string()))?.map_err(Failure::from_error)?
            }
        };
        let text = |key: &str| {
            let value = self.metadata.get(key)?;
            Some(String::from_utf8_lossy(value).into_owned()).filter(|value| !value.is_empty())
        };
        Ok(Attestation {
            kind: self.kind,
            sbom_core: text(SBOM_CORE),
            inline_only: text(INLINE_ONLY).as_deref() == Some("true"),
            predicate_type: self.predicate_type,
            subjects: self.subjects,
            path: self.path,
            content: Content::Tree(snapshot),
        })
    }
}

fn subject(wire: wire::InTotoSubject) -> Result<Subject, Failure> {
    match wire.kind() {
        wire::InTotoSubjectKind::Self_ => Ok(Subject::Image { name: wire.name }),
        wire::InTotoSubjectKind::Raw => {
            let digest = |text: &String| {
                text.parse::<Digest>()
                    .map_err(|error| Failure::invalid(format!("attestation subject {text:?}: {error}")))
            };
            let digests = wire.digest.iter().map(digest).collect::<Result<_, _>>()?;
            Ok(Subject::Other { name: wire.name, digests })
        }
    }
}

fn wire_subject(subject: Subject) -> wire::InTotoSubject {
    match subject {
        Subject::Image { name } => {
            wire::InTotoSubject { kind: wire::InTotoSubjectKind::Self_.into(), digest: Vec::new(), name }
        }
        Subject::Other { name, digests } => wire::InTotoSubject {
            kind: wire::InTotoSubjectKind::Raw.into(),
            digest: digests.iter().map(ToString::to_string).collect(),
            name,
        },
    }
}
