//! Provenance as JSON: SLSA v1, and the same facts under the names of v0.2.
//!
//! | v1 | v0.2 |
//! |---|---|
//! | `buildDefinition.buildType` | `buildType` |
//! | `buildDefinition.resolvedDependencies` | `materials` |
//! | `buildDefinition.externalParameters.configSource` | `invocation.configSource` (`path` is `entryPoint`) |
//! | `buildDefinition.externalParameters.request` | `invocation.parameters` |
//! | `buildDefinition.internalParameters.builderPlatform` | `invocation.environment.platform` |
//! | `buildDefinition.internalParameters.buildConfig` | `buildConfig` |
//! | `runDetails.metadata.buildkit_metadata` | `metadata["https://mobyproject.org/buildkit@v1#metadata"]` |

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};
use slipway_model::llb::json::Members;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::capture::ResourceDescriptor;
use super::options::Version;
use super::request::{ConfigSource, Parameters};

const BUILD_TYPE_1: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
const BUILD_TYPE_02: &str = "https://mobyproject.org/buildkit@v1";

/// All that is said about one result.
pub(super) struct Predicate {
    pub builder_id: String,
    pub invocation: String,
    pub started: SystemTime,
    pub finished: SystemTime,
    pub platform: String,
    /// Of the built-in frontend, if that made the result.
    pub dockerfile_version: Option<String>,
    /// Of files of the configuration (`provenanceEnvDir`).
    pub environment: BTreeMap<String, Value>,
    pub config_source: ConfigSource,
    pub request: Parameters,
    pub materials: Vec<ResourceDescriptor>,
    pub is_request_complete: bool,
    pub are_materials_complete: bool,
    pub hermetic: bool,
    pub reproducible: bool,
    pub version_control: BTreeMap<String, String>,
    pub build_config: Option<Value>,
    pub source: Option<Value>,
    pub layers: Option<Value>,
}

impl Predicate {
    /// Graphs are large: what is there already is moved, never written out as JSON once more.
    pub(super) fn json(self, version: Version) -> Value {
        match version {
            Version::V1 => self.v1(),
            Version::V02 => self.v02(),
        }
    }

    fn v1(mut self) -> Value {
        let buildkit = self.metadata();
        let metadata = Members::default()
            .text("invocationId", &self.invocation)
            .maybe("startedOn", rfc3339(self.started))
            .maybe("finishedOn", rfc3339(self.finished))
            .value("buildkit_metadata", buildkit)
            .flag("buildkit_hermetic", self.hermetic)
            .value(
                "buildkit_completeness",
                json!({
                    "request": self.is_request_complete,
                    "resolvedDependencies": self.are_materials_complete,
                }),
            )
            .flag("buildkit_reproducible", self.reproducible);
        let mut internal = self.environment;
        internal.insert("builderPlatform".into(), self.platform.into());
        internal.extend(self.dockerfile_version.map(|it| ("dockerfileVersion".to_owned(), it.into())));
        internal.extend(self.build_config.map(|it| ("buildConfig".to_owned(), it)));
        let definition = Members::default()
            .text("buildType", BUILD_TYPE_1)
            .list("resolvedDependencies", &self.materials, |material| json!(material))
            .value(
                "externalParameters",
                json!({ "configSource": self.config_source, "request": self.request }),
            )
            .value("internalParameters", Value::Object(internal.into_iter().collect()));
        let run =
            Members::default().value("builder", json!({ "id": self.builder_id })).value("metadata", metadata);
        Members::default().value("buildDefinition", definition).value("runDetails", run).into()
    }

    fn v02(mut self) -> Value {
        let buildkit = self.metadata();
        let mut metadata = Members::default()
            .text("buildInvocationID", &self.invocation)
            .maybe("buildStartedOn", rfc3339(self.started))
            .maybe("buildFinishedOn", rfc3339(self.finished))
            .value(
                "completeness",
                json!({
                    "parameters": self.is_request_complete,
                    "environment": true,
                    "materials": self.are_materials_complete,
                }),
            )
            .value("reproducible", self.reproducible)
            .value("https://mobyproject.org/buildkit@v1#metadata", buildkit);
        metadata = metadata.flag("https://mobyproject.org/buildkit@v1#hermetic", self.hermetic);
        let mut environment = self.environment;
        environment.insert("platform".into(), self.platform.into());
        environment.extend(self.dockerfile_version.map(|it| ("dockerfileVersion".to_owned(), it.into())));
        let source = Members::default()
            .text("uri", &self.config_source.uri)
            .map("digest", &self.config_source.digest, |hex| hex.as_str().into())
            .text("entryPoint", &self.config_source.path);
        let invocation = json!({
            "configSource": Value::from(source),
            "parameters": self.request,
            "environment": environment,
        });
        Members::default()
            .value("builder", json!({ "id": self.builder_id }))
            .text("buildType", BUILD_TYPE_02)
            .list("materials", &self.materials, |material| json!(material))
            .value("invocation", invocation)
            .maybe("buildConfig", self.build_config)
            .value("metadata", metadata)
            .into()
    }

    fn metadata(&mut self) -> Members {
        Members::default()
            .map("vcs", &self.version_control, |value| value.as_str().into())
            .maybe("source", self.source.take())
            .maybe("layers", self.layers.take())
    }
}

/// With nanoseconds, as Go writes times.
fn rfc3339(at: SystemTime) -> Option<String> {
    OffsetDateTime::from(at).format(&Rfc3339).ok()
}
