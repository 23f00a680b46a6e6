//! What `Control.Solve` was asked: checked, and nothing silently ignored.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_exporter::source::COMPATIBILITY;
use slipway_model::llb::pb;
use slipway_proto::control::{CacheOptionsEntry, Exporter, SolveRequest};
use slipway_worker::ops::Scope;
use slipway_worker::policy::Rules;
use slipway_worker::source::of_build::BuildSources;
use tonic::Status;

use crate::history::Started;
use crate::provenance::Question;

/// Ids are names in maps, logs and file names.
const LONGEST_ID: usize = 256;
/// What the reference calls the ways in which it makes results since its versions 0.13, 0.15 and 0.31. Here they
/// differ in the media types of images and in the form of attestations.
const COMPATIBILITIES: [i64; 3] = [10, 20, COMPATIBILITY];

pub(crate) struct BuildRequest {
    pub id: String,
    pub session: String,
    pub what: What,
    /// What its sources obey: rules, and a session that is asked.
    pub rules: Rules,
    pub policy_session: Option<String>,
    pub exporters: Vec<ExporterRequest>,
    /// The client says what else is made of the result when it is there.
    pub session_decides: bool,
    pub entitlements: Vec<String>,
    pub cache_imports: Vec<CacheOptionsEntry>,
    pub cache_exports: Vec<CacheOptionsEntry>,
    /// In which of the reference's ways results are made.
    pub compatibility: i64,
    /// The session says what sources may come to.
    pub has_lock: bool,
    /// Of a client for itself: it leaves no record.
    pub internal: bool,
    /// What the record says of it: the frontend's name and options, whoever runs it.
    pub frontend: (String, BTreeMap<String, String>),
    /// The frontend's options, and those of exporters that say what is to be attested.
    pub attests: BTreeMap<String, String>,
    /// Graphs for whoever is the frontend.
    pub inputs: BTreeMap<String, pb::Definition>,
}

/// Where the graph comes from.
pub(crate) enum What {
    Definition(pb::Definition),
    Frontend {
        name: String,
        options: BTreeMap<String, String>,
        inputs: BTreeMap<String, pb::Definition>,
    },
    /// The client is the frontend: it works through LLBBridge and returns a result.
    Client {
        inputs: BTreeMap<String, pb::Definition>,
    },
}

pub(crate) struct ExporterRequest {
    /// Its place in the request: clients know their outputs by it.
    pub index: usize,
    pub kind: String,
    pub options: BTreeMap<String, String>,
}

impl BuildRequest {
    pub(crate) fn check(request: SolveRequest) -> Result<Self, Status> {
        let invalid = |reason: &str| Err(Status::invalid_argument(reason.to_owned()));
        let unsupported = |what: &str| Err(Status::unimplemented(format!("{what} is not supported")));
        if !is_id(&request.r#ref) {
            return invalid("a build needs a Ref of at most 256 visible characters, without slashes");
        }
        let rules = Rules::compile(request.source_policy)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.proxy_network {
            return unsupported("the proxy network");
        }
        let compatibility = compatibility(request.compatibility_version)?;
        let (frontend, frontend_attrs) = without_detour(request.frontend, request.frontend_attrs);
        let cache = request.cache.unwrap_or_default();
        let mut cache_imports = cache.imports;
        cache_imports.extend(cache.import_refs_deprecated.into_iter().map(|reference| CacheOptionsEntry {
            r#type: "registry".into(),
            attrs: [("ref".to_owned(), reference)].into(),
        }));
        let mut cache_exports = cache.exports;
        if !cache.export_ref_deprecated.is_empty() {
            let mut attrs = cache.export_attrs_deprecated;
            attrs.insert("ref".into(), cache.export_ref_deprecated);
            cache_exports.push(CacheOptionsEntry { r#type: "registry".into(), attrs });
        }
        let mut exporters =
            exporters(request.exporters, request.exporter_deprecated, request.exporter_attrs_deprecated);
        // The frontend says which time the name of a source stands for.
        let is_time = |epoch: &&String| epoch.is_empty() || epoch.parse::<i64>().is_ok();
        if let Some(epoch) = frontend_attrs.get("build-arg:SOURCE_DATE_EPOCH").filter(is_time) {
            for exporter in &mut exporters {
                exporter.options.entry("source-date-epoch".into()).or_insert_with(|| epoch.clone());
            }
        }
        let mut asked = frontend_attrs.clone();
        for exporter in &mut exporters {
            exporter.options.retain(|key, value| {
                let is_attest = key.starts_with("attest:");
                if is_attest {
                    asked.entry(key.clone()).or_insert_with(|| value.clone());
                }
                !is_attest
            });
        }
        Ok(Self {
            id: request.r#ref,
            session: request.session,
            rules,
            policy_session: Some(request.source_policy_session).filter(|session| !session.is_empty()),
            internal: request.internal,
            compatibility,
            has_lock: false,
            frontend: (frontend.clone(), frontend_attrs.clone()),
            attests: asked,
            inputs: request.frontend_inputs.clone(),
            what: what(request.definition, frontend, frontend_attrs, request.frontend_inputs)?,
            exporters,
            session_decides: request.enable_session_exporter,
            entitlements: request.entitlements,
            cache_imports,
            cache_exports,
        })
    }

    /// What the history says about it.
    pub(crate) fn started(&self) -> Started {
        let exporter = |exporter: &ExporterRequest| Exporter {
            r#type: exporter.kind.clone(),
            attrs: exporter.options.clone(),
        };
        Started {
            name: self.id.clone(),
            frontend: self.frontend.0.clone(),
            options: self.frontend.1.clone(),
            exporters: self.exporters.iter().map(exporter).collect(),
            cache_imports: self.cache_imports.clone(),
            cache_exports: self.cache_exports.clone(),
        }
    }

    /// The request as provenance sees it.
    pub(crate) fn question(&self) -> Question {
        let (frontend, options) = self.frontend.clone();
        Question { frontend, options, inputs: self.inputs.clone() }
    }

    /// Graphs for a client that is the frontend.
    pub(crate) fn client_inputs(&self) -> BTreeMap<String, pb::Definition> {
        match &self.what {
            What::Client { inputs } => inputs.clone(),
            What::Definition(_) | What::Frontend { .. } => BTreeMap::new(),
        }
    }

    /// What this build may do: what it asks for, if the daemon grants it. Takes its policies along.
    pub(crate) fn scope(&mut self, granted: &[String]) -> Result<Scope, Status> {
        let sessions = Some(self.session.clone()).filter(|session| !session.is_empty());
        let (rules, asked) = (std::mem::take(&mut self.rules), self.policy_session.take());
        let sources = Arc::new(BuildSources::new(rules, asked, sessions.into_iter().collect()));
        let mut scope = Scope { sources, ..Scope::default() };
        for entitlement in &self.entitlements {
            let (name, rest) = match entitlement.split_once('=') {
                Some(("device", rest)) => ("device", rest),
                _ => (entitlement.as_str(), ""),
            };
            if !granted.iter().any(|granted| granted == name) {
                return Err(Status::permission_denied(format!("entitlement {entitlement} is not allowed")));
            }
            match name {
                "device" => scope.devices.add(rest).map_err(Status::invalid_argument)?,
                "network.host" => scope.allow_host_network = true,
                "security.insecure" => scope.allow_insecure = true,
                other => {
                    return Err(Status::invalid_argument(format!("unknown entitlement {other}")));
                }
            }
        }
        Ok(scope)
    }
}

/// Names in maps, logs and file names: nothing that means something there.
fn is_id(id: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    !id.is_empty() && id.len() <= LONGEST_ID && id != "." && id != ".." && id.chars().all(plain)
}

/// Versions that exporters know; unset is the newest.
fn compatibility(version: i64) -> Result<i64, Status> {
    match version {
        0 => Ok(COMPATIBILITY),
        known if COMPATIBILITIES.contains(&known) => Ok(known),
        newer if newer > COMPATIBILITY => Err(Status::invalid_argument(format!(
            "unsupported compatibility-version {newer}: upgrade the daemon (max supported: {COMPATIBILITY})"
        ))),
        other => Err(Status::invalid_argument(format!(
            "unsupported compatibility-version {other} (supported: {COMPATIBILITIES:?})"
        ))),
    }
}

/// A frontend in an image that is named `dockerfile.v0` is the built-in one.
fn without_detour(
    frontend: String,
    mut options: BTreeMap<String, String>,
) -> (String, BTreeMap<String, String>) {
    const BUILT_IN: &str = "dockerfile.v0";
    let is_named = options.get("source").is_some_and(|source| source == BUILT_IN);
    let is_replaced = options.keys().any(|key| {
        let name = key.strip_prefix("context:dockerfile.v0");
        name.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    if frontend != "gateway.v0" || !is_named || is_replaced {
        return (frontend, options);
    }
    options.remove("source");
    (BUILT_IN.to_owned(), options)
}

fn what(
    definition: Option<pb::Definition>,
    frontend: String,
    options: BTreeMap<String, String>,
    inputs: BTreeMap<String, pb::Definition>,
) -> Result<What, Status> {
    match (definition, frontend.is_empty()) {
        (Some(definition), false) if !definition.def.is_empty() => {
            Err(Status::invalid_argument("invalid solve request: both a definition and a frontend are given"))
        }
        // One that is there and empty is scratch.
        (Some(definition), true) => Ok(What::Definition(definition)),
        (_, false) => Ok(What::Frontend { name: frontend, options, inputs }),
        (None, true) => Ok(What::Client { inputs }),
    }
}

fn exporters(
    list: Vec<Exporter>,
    deprecated: String,
    deprecated_options: BTreeMap<String, String>,
) -> Vec<ExporterRequest> {
    if list.is_empty() && !deprecated.is_empty() {
        return vec![ExporterRequest { index: 0, kind: deprecated, options: deprecated_options }];
    }
    list.into_iter()
        .enumerate()
        .map(|(index, exporter)| ExporterRequest { index, kind: exporter.r#type, options: exporter.attrs })
        .collect()
}
