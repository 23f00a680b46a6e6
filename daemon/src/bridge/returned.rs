//! `Return`: the client hands in what it made of the build, or why it could not.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use serde::Deserialize;
use slipway_model::Platform;
use slipway_proto::gateway::{Result as WireResult, ReturnRequest, result};
use tonic::Code;

use super::refs::value;
use crate::build::failure::Failure;
use crate::build::result::{BuildResult, PlatformOutput};
use crate::build::{Build, images};
use crate::engine::Engine;

pub(crate) type Returned = Result<BuildResult, Failure>;

/// The value of `refs.platforms`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Platforms {
    platforms: Vec<NamedPlatform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedPlatform {
    #[serde(rename = "ID")]
    id: String,
    platform: Platform,
}

pub(super) async fn returned(engine: &Arc<Engine>, build: &Arc<Build>, request: ReturnRequest) -> Returned {
    if let Some(error) = request.error {
        return Err(Failure::new(Code::from_i32(error.code), error.message).with_details(error.details));
    }
    let result = request.result.unwrap_or_default();
    if !result.attestations.is_empty() {
        return Err(Failure::unsupported("an attestation"));
    }
    let metadata = result.metadata.clone();
    let (multi_platform, named) = references(engine, &result)?;
    let solving = named.into_iter().map(|(id, platform, reference)| {
        let metadata = &metadata;
        async move {
            let value = value(engine, build, &reference).await?;
            let config = fact(metadata, "containerimage.config", &id).unwrap_or_default();
            let base_config = fact(metadata, "containerimage.base.config", &id);
            Ok::<_, Failure>(PlatformOutput { id, platform, value, config, base_config })
        }
    });
    let outputs = try_join_all(solving).await?;
    Ok(BuildResult { outputs, multi_platform, metadata })
}

/// The id of a platform, the platform, and the name of its reference.
type Named = (String, Platform, String);

/// Whether platforms are told apart, and the reference for each.
fn references(engine: &Engine, result: &WireResult) -> Result<(bool, Vec<Named>), Failure> {
    let one = |id: &str| {
        let platform = images::default_platform(engine);
        (false, vec![(platform.to_string(), platform, id.to_owned())])
    };
    match &result.result {
        None => Ok(one("")),
        Some(result::Result::Ref(reference)) => Ok(one(&reference.id)),
        Some(result::Result::RefDeprecated(id)) => Ok(one(id)),
        Some(result::Result::Refs(refs)) => {
            let platforms: Platforms = match result.metadata.get("refs.platforms") {
                Some(json) => serde_json::from_slice(json)
                    .map_err(|error| Failure::invalid(format!("refs.platforms is not valid: {error}")))?,
                None => {
                    return Err(Failure::invalid("a result with several references needs refs.platforms"));
                }
            };
            let find = |named: NamedPlatform| {
                let reference = refs.refs.get(&named.id).ok_or_else(|| {
                    Failure::invalid(format!("refs.platforms names {:?}, which has no reference", named.id))
                })?;
                Ok((named.id, named.platform, reference.id.clone()))
            };
            Ok((true, platforms.platforms.into_iter().map(find).collect::<Result<_, Failure>>()?))
        }
        Some(result::Result::RefsDeprecated(_)) => {
            Err(Failure::unsupported("a deprecated map of references"))
        }
    }
}

/// A fact about one platform, or about the only one.
fn fact(metadata: &BTreeMap<String, Bytes>, key: &str, id: &str) -> Option<Bytes> {
    metadata.get(&format!("{key}/{id}")).or_else(|| metadata.get(key)).cloned()
}
