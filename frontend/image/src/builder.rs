//! The builder that runs this frontend.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use serde::Deserialize;
use slipway_frontend::{ErrorSource, Facts};
use slipway_model::{ImageConfig, Platform};
use slipway_proto::gateway::llb_bridge_client::LlbBridgeClient;
use slipway_proto::gateway::{
    InputsRequest, PingRequest, ReadFileRequest, Ref, RefMap, ResolveImageConfigRequest,
    Result as WireResult, ReturnRequest, SolveRequest, result,
};
use slipway_proto::{pb, rpc};
use tonic::{Code, Status};

use crate::connection::{Connection, origin};
use crate::{Error, Result};

/// Above the builder's own limits.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Cheap to clone; all clones use one connection.
#[derive(Clone)]
pub struct Builder {
    client: LlbBridgeClient<Connection>,
    pub options: BTreeMap<String, String>,
    pub facts: Facts,
    capabilities: BTreeSet<String>,
}

/// One tree of a result.
pub struct Output {
    /// What `refs.platforms` calls it.
    pub id: String,
    pub definition: pb::Definition,
}

/// A result as the builder keeps it: references by name.
pub type Solved = WireResult;

#[derive(Deserialize)]
struct WorkerInfo {
    #[serde(default, rename = "Platforms")]
    platforms: Vec<Platform>,
}

impl Builder {
    /// Reads the environment and opens the connection.
    pub async fn connect() -> Result<Self> {
        let client = LlbBridgeClient::with_origin(Connection::open().await?, origin())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let pong = client.clone().ping(PingRequest {}).await?.into_inner();
        let capabilities = pong.frontend_api_caps.into_iter().filter(|cap| cap.enabled).map(|cap| cap.id);
        let (options, facts) = environment(std::env::vars());
        Ok(Self { client, options, facts, capabilities: capabilities.collect() })
    }

    /// The service itself.
    pub fn client(&self) -> LlbBridgeClient<Connection> {
        self.client.clone()
    }

    /// Graphs that the client made itself, by name.
    pub async fn inputs(&self) -> Result<BTreeMap<String, pb::Definition>> {
        if !self.capabilities.contains("frontend.inputs") {
            return Ok(BTreeMap::new());
        }
        Ok(self.client().inputs(InputsRequest {}).await?.into_inner().definitions)
    }

    /// Hands in a graph. It is solved when it has to be.
    pub async fn solve(&self, definition: pb::Definition) -> Result<Ref> {
        let request = SolveRequest { definition: Some(definition), ..solve_request() };
        let solved = self.client().solve(request).await?.into_inner().result.unwrap_or_default();
        match solved.result {
            Some(result::Result::Ref(reference)) => Ok(reference),
            Some(result::Result::RefDeprecated(id)) => Ok(Ref { id, def: None }),
            _ => Err(Error::plain("the builder made no single tree of a graph")),
        }
    }

    /// Lets the frontend in another image do all the work.
    pub async fn forward(&self, options: BTreeMap<String, String>) -> Result<Solved> {
        let request = SolveRequest {
            frontend: "gateway.v0".into(),
            frontend_opt: options,
            frontend_inputs: self.inputs().await?,
            ..solve_request()
        };
        Ok(self.client().solve(request).await?.into_inner().result.unwrap_or_default())
    }

    /// The config of the image `reference`, for the builder's own platform.
    pub async fn image_config(&self, reference: &str) -> Result<ImageConfig> {
        let request = ResolveImageConfigRequest {
            r#ref: reference.to_owned(),
            platform: self.facts.build_platforms.first().map(Into::into),
            resolve_mode: "default".into(),
            ..ResolveImageConfigRequest::default()
        };
        let resolved = self.client().resolve_image_config(request).await?.into_inner();
        serde_json::from_slice(&resolved.config)
            .map_err(|error| Error::plain(format!("the config of {reference} is not valid: {error}")))
    }

    /// The file at `path` of what `definition` makes; none if there is no such file.
    pub async fn read_file(&self, definition: &pb::Definition, path: &str) -> Result<Option<Bytes>> {
        let reference = self.solve(definition.clone()).await?;
        if reference.id.is_empty() {
            return Ok(None);
        }
        let request = ReadFileRequest { r#ref: reference.id, file_path: path.into(), ..Default::default() };
        match self.client().read_file(request).await {
            Ok(read) => Ok(Some(read.into_inner().data)),
            Err(status) if is_not_found(&status) => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Hands in graphs and facts: several by their ids, or the only one.
    pub async fn outputs(
        &self,
        outputs: Vec<Output>,
        by_id: bool,
        metadata: BTreeMap<String, Bytes>,
    ) -> Result<Solved> {
        let mut refs = BTreeMap::new();
        for output in outputs {
            refs.insert(output.id, self.solve(output.definition).await?);
        }
        let result = match by_id {
            true => result::Result::Refs(RefMap { refs }),
            false => result::Result::Ref(refs.into_values().next().unwrap_or_default()),
        };
        Ok(Solved { result: Some(result), metadata, ..Solved::default() })
    }

    /// The last word.
    pub async fn finish(&self, outcome: Result<Solved>) -> Result<()> {
        let request = match outcome {
            Ok(result) => ReturnRequest { result: Some(result), error: None },
            Err(error) => ReturnRequest { result: None, error: Some(status(error)) },
        };
        self.client().r#return(request).await?;
        Ok(())
    }
}

fn solve_request() -> SolveRequest {
    SolveRequest { allow_result_return: true, allow_result_array_ref: true, ..SolveRequest::default() }
}

/// `BUILDKIT_FRONTEND_OPT_<n>=KEY=VALUE`, the client's session and the builder's platforms.
fn environment(variables: impl Iterator<Item = (String, String)>) -> (BTreeMap<String, String>, Facts) {
    let (mut options, mut facts) = (BTreeMap::new(), Facts::default());
    for (name, value) in variables {
        if name.starts_with("BUILDKIT_FRONTEND_OPT_") {
            let (key, value) = value.split_once('=').unwrap_or((&value, ""));
            options.insert(key.to_owned(), value.to_owned());
        } else if name == "BUILDKIT_SESSION_ID" {
            facts.session_id = value;
        } else if name == "BUILDKIT_WORKERS" {
            // A builder that says nothing readable is taken to be like this machine.
            let workers: Vec<WorkerInfo> = serde_json::from_str(&value).unwrap_or_default();
            facts.build_platforms =
                workers.into_iter().next().map(|worker| worker.platforms).unwrap_or_default();
        }
    }
    (options, facts)
}

/// Builders do not agree on the code.
fn is_not_found(status: &Status) -> bool {
    status.code() == Code::NotFound || status.message().contains("no such file or directory")
}

fn status(error: Error) -> rpc::Status {
    let message = error.to_string();
    match error {
        Error::Builder(status) => {
            let details = details(&status);
            rpc::Status { code: status.code().into(), message, details }
        }
        Error::Source { sources, .. } => {
            rpc::Status { code: Code::Unknown.into(), message, details: sources.iter().map(detail).collect() }
        }
        _ => rpc::Status { code: Code::Internal.into(), message, details: Vec::new() },
    }
}

fn details(status: &Status) -> Vec<prost_types::Any> {
    rpc::Status::decode(status.details()).map(|decoded| decoded.details).unwrap_or_default()
}

fn detail(source: &ErrorSource) -> prost_types::Any {
    prost_types::Any {
        type_url: "github.com/moby/buildkit/errdefs.Source+json".into(),
        value: source.to_json().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_numbered_variables() {
        let variables = [
            ("BUILDKIT_FRONTEND_OPT_0", "build-arg:A=b=c"),
            ("BUILDKIT_FRONTEND_OPT_1", "no-cache="),
            ("BUILDKIT_SESSION_ID", "s"),
            ("BUILDKIT_WORKERS", r#"[{"ID":"w","Platforms":[{"architecture":"arm64","os":"linux"}]}]"#),
            ("PATH", "/bin"),
        ];
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (options, facts) = environment(variables);
        assert_eq!(options["build-arg:A"], "b=c");
        assert_eq!(options["no-cache"], "");
        assert_eq!(options.len(), 2);
        assert_eq!(facts.session_id, "s");
        assert_eq!(facts.build_platforms[0].to_string(), "linux/arm64");
    }
}
