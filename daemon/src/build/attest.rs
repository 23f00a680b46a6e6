//! What is said about the results of a build: `attest:provenance`, `attest:sbom`, and what frontends add.
//!
//! Clients ask by options of the frontend, whoever that is (`attest:TYPE=FIELD=VALUE,…`, or the build argument
//! `BUILDKIT_ATTEST_TYPE`). Provenance is made for the history, too, whether somebody asks for it or not.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use slipway_exporter::attestation::{Attestation, Content, Kind, Make as _, SPDX};
use slipway_model::Platform;

use super::Build;
use super::failure::{Failure, detail};
use super::request::BuildRequest;
use super::result::BuildResult;
use super::sbom::{self, SbomOptions};
use crate::bridge::Reference;
use crate::engine::Engine;
use crate::provenance::{Maker, Mode, Pins, ProvenanceOptions, Subject, capture};

/// Graphs with more operations leave no provenance in the history.
const MOST_OPERATIONS: usize = 20_000;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attests {
    provenance: Option<ProvenanceOptions>,
    sbom: Option<SbomOptions>,
}

impl Attests {
    /// Whether results have to be there: what they hold is told, not only where they come from.
    pub(crate) fn read_results(&self) -> bool {
        self.sbom.is_some()
    }

    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut attests = Self::default();
        // Options come after build arguments of the same meaning.
        let mut wanted: BTreeMap<String, &str> = BTreeMap::new();
        for prefix in ["build-arg:BUILDKIT_ATTEST_", "attest:"] {
            for (key, value) in options {
                if let Some(kind) = key.strip_prefix(prefix) {
                    wanted.insert(kind.to_ascii_lowercase(), value);
                }
            }
        }
        for (kind, text) in wanted {
            let fields = fields(text);
            let invalid = |reason: String| Failure::invalid(format!("attest:{kind}={text}: {reason}"));
            match kind.as_str() {
                "provenance" => attests.provenance = ProvenanceOptions::parse(&fields).map_err(invalid)?,
                "sbom" => attests.sbom = SbomOptions::parse(fields).map_err(invalid)?,
                other => return Err(Failure::invalid(format!("unknown attestation type {other:?}"))),
            }
        }
        Ok(attests)
    }
}

/// Divided by commas outside of double quotes; what has no value has an empty one.
fn fields(text: &str) -> BTreeMap<String, String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.is_empty());
    let pair = |part: &String| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key.to_owned(), value.to_owned())
    };
    parts.map(pair).collect()
}

/// Provenance of each result, for the history: by platform where results are told apart.
pub(crate) type ForHistory = Vec<(Option<String>, Maker)>;

/// Adds what is asked for to `result`.
pub(crate) async fn attach(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    request: &BuildRequest,
    attests: Attests,
    result: &mut BuildResult,
) -> Result<ForHistory, Failure> {
    let results: Vec<Arc<Reference>> =
        result.outputs.iter().filter_map(|output| output.reference.clone()).collect();
    if let Some(options) = &attests.sbom {
        sbom::attach(engine, build, request, options, result).await?;
    }
    let pins = Arc::new(Pins::of(build.job.traces(usize::MAX).unwrap_or_default()));
    let platforms: Vec<(String, Platform)> = match result.multi_platform {
        true => result.outputs.iter().map(|it| (it.id.clone(), it.platform.clone())).collect(),
        false => Vec::new(),
    };
    let finished = Arc::new(OnceLock::new());
    let mut for_history = Vec::new();
    for output in &mut result.outputs {
        let Some(reference) = &output.reference else { continue };
        let id = if result.multi_platform { output.id.as_str() } else { "" };
        let subject = Subject { id, reference, platforms: &platforms, results: &results };
        let captured = capture(engine, &pins, &build.client.inquiry, &subject);
        let maker = |options: ProvenanceOptions| Maker {
            engine: engine.clone(),
            pins: pins.clone(),
            invocation: build.id.clone(),
            started: build.started,
            finished: finished.clone(),
            compatibility: request.compatibility,
            captured: captured.clone(),
            options,
        };
        let builder_id = attests.provenance.as_ref().map(|it| it.builder_id.clone()).unwrap_or_default();
        if let Some(options) = &attests.provenance {
            if options.complete_materials && !captured.is_complete() {
                return Err(incomplete(captured.locals()));
            }
            output.attestations.push(Attestation {
                kind: Kind::InToto,
                predicate_type: options.version.predicate_type().to_owned(),
                subjects: Vec::new(),
                path: options.filename.clone(),
                content: Content::Made(Arc::new(maker(options.clone()))),
                sbom_core: None,
                inline_only: options.inline_only,
            });
        }
        if !request.internal && reference.definition.def.len() <= MOST_OPERATIONS {
            let key = result.multi_platform.then(|| output.id.clone());
            let options = ProvenanceOptions { builder_id, mode: Mode::Max, ..ProvenanceOptions::default() };
            for_history.push((key, maker(options)));
        }
    }
    Ok(for_history)
}

/// An attestation of the history, by platform: predicate type and predicate.
pub(crate) type Recorded = Vec<(Option<String>, &'static str, bytes::Bytes)>;

/// What the history keeps; one that cannot be made is left out. Blocks.
pub(crate) fn record(makers: ForHistory) -> Recorded {
    let one = |(key, maker): (Option<String>, Maker)| match maker.make(&[]) {
        Ok(predicate) => Some((key, maker.options.version.predicate_type(), predicate)),
        Err(error) => {
            tracing::warn!(%error, "the history has no provenance of a build");
            None
        }
    };
    makers.into_iter().filter_map(one).collect()
}

/// Whether somebody has made an SBOM already.
pub(super) fn has_sbom(result: &BuildResult) -> bool {
    let attestations = result.outputs.iter().flat_map(|output| &output.attestations);
    attestations.into_iter().any(|attestation| attestation.predicate_type == SPDX)
}

fn incomplete(locals: &[String]) -> Failure {
    let mut text =
        "provenance materials are incomplete\n\nThe build requested complete provenance materials, but \
        not all dependencies could be captured."
            .to_owned();
    if !locals.is_empty() {
        text.push_str("\n\nUncaptured local sources:");
    }
    for name in locals {
        let name = if name.is_empty() { "<unnamed>" } else { name };
        text.push_str(&format!("\n  - {name}\n    reason: local_source"));
    }
    let list: Vec<_> =
        locals.iter().map(|name| serde_json::json!({ "name": name, "reason": "local_source" })).collect();
    let details = serde_json::json!({ "incomplete": list }).to_string();
    let details = vec![detail("errdefs.ProvenanceMaterialsIncomplete+json", details)];
    Failure::new(tonic::Code::FailedPrecondition, text).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Attests, String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Attests::parse(&options).map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn options_and_build_arguments() {
        assert_eq!(parse(&[("target", "x")]), Ok(Attests::default()));
        let asked = parse(&[("attest:provenance", "mode=min"), ("build-arg:BUILDKIT_ATTEST_SBOM", "")]);
        let asked = asked.unwrap();
        assert_eq!(asked.provenance.unwrap().mode, Mode::Min);
        assert!(asked.sbom.is_some());
        // The option of the client counts.
        let both = [("attest:provenance", "mode=min"), ("build-arg:BUILDKIT_ATTEST_PROVENANCE", "mode=max")];
        assert_eq!(parse(&both).unwrap().provenance.unwrap().mode, Mode::Min);
        assert!(parse(&[("attest:signature", "")]).unwrap_err().contains("signature"));
        assert!(parse(&[("attest:provenance", "mode=most")]).unwrap_err().contains("mode=most"));
    }

    #[test]
    fn quoted_fields_keep_their_commas() {
        let fields = fields(r#"generator=a,"list=b,c""#);
        assert_eq!(fields["list"], "b,c");
        assert_eq!(fields["generator"], "a");
    }
}
