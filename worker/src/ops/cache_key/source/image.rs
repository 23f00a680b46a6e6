//! Images, from a registry or from a layout at the client.
//!
//! There are two keys, cheapest first: of the manifest (known after resolving) and of the layers
//! (known after reading the config), so that two manifests of the same layers share what was built
//! on them.

use serde::Deserialize;
use slipway_model::llb::pb;
use slipway_model::{ChainId, DiffId, Digest, Platform};

use super::super::exec::platform_fields;
use super::super::go_json::object;
use super::super::{CacheKey, CacheKeyError};
use super::{error, key, parse_digest};

/// `docker-image://` or `oci-layout://`, as the operation says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIdentifier {
    /// Host and path; with `object`, what the registry is asked for.
    pub locator: String,
    /// Tag, `@digest`, or both.
    pub object: String,
    pub resolve_mode: ResolveMode,
    pub record_type: RecordType,
    /// Only that many layers from the bottom.
    pub layer_limit: Option<u32>,
    /// What the reference must resolve to.
    pub checksum: Option<Digest>,
    /// Of an OCI layout: whose session holds it, and under which name.
    pub session: Option<String>,
    pub store: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResolveMode {
    #[default]
    Default,
    ForcePull,
    PreferLocal,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordType {
    #[default]
    Regular,
    Internal,
    Frontend,
}

impl ImageIdentifier {
    /// `reference` is the identifier without its scheme; it must name a tag or a digest.
    pub fn parse(reference: &str, op: &pb::SourceOp) -> Result<Self, CacheKeyError> {
        let (locator, object) = split_reference(reference)?;
        let mut identifier = Self {
            locator,
            object,
            resolve_mode: ResolveMode::default(),
            record_type: RecordType::default(),
            layer_limit: None,
            checksum: None,
            session: None,
            store: None,
        };
        for (name, value) in &op.attrs {
            match name.as_str() {
                "image.resolvemode" => identifier.resolve_mode = parse_resolve_mode(value)?,
                "image.recordtype" => identifier.record_type = parse_record_type(value)?,
                "image.layerlimit" | "oci.layerlimit" => {
                    identifier.layer_limit = Some(parse_layer_limit(value)?)
                }
                "image.checksum" => {
                    let checksum = parse_digest(value)
                        .map_err(|problem| error(format!("invalid image checksum {value}: {problem}")))?;
                    identifier.checksum = Some(checksum);
                }
                "oci.session" => identifier.session = Some(value.clone()),
                "oci.store" => identifier.store = Some(value.clone()),
                _ => {}
            }
        }
        Ok(identifier)
    }
}

/// The key of a resolved manifest, the same however the platform is written.
pub fn manifest_key(manifest: &Digest, platform: &Platform, layer_limit: Option<u32>) -> CacheKey {
    let preimage = object(|fields| {
        platform_fields(fields.always("Digest", &manifest.to_string()), &platform.normalized())
            .some("Limit", &layer_limit)
    });
    key(&Digest::of(preimage).to_string())
}

/// The key of the image's layers; `None` for an image without layers, which keeps its manifest key.
/// A config that is no JSON counts by its bytes.
pub fn config_key(config: &[u8], layer_limit: Option<u32>) -> Result<Option<CacheKey>, CacheKeyError> {
    let config: Config = match serde_json::from_slice(config) {
        Ok(parsed) => parsed,
        Err(_) if layer_limit.is_none() => return Ok(Some(key(&Digest::of(config).to_string()))),
        Err(problem) => return Err(error(format!("failed to parse image config: {problem}"))),
    };
    let RootFs { kind, diff_ids } = config.rootfs.unwrap_or_default();
    let mut layers = diff_ids.unwrap_or_default();
    if let Some(limit) = layer_limit {
        let limit = limit as usize;
        if layers.len() < limit {
            return Err(error(format!("image has {} layers, limit is {limit}", layers.len())));
        }
        layers.truncate(limit);
    }
    if kind.as_deref() != Some("layers") {
        return Ok(None);
    }
    Ok(ChainId::of(&layers).map(|chain| key(&chain.to_string())))
}

#[derive(Deserialize)]
struct Config {
    rootfs: Option<RootFs>,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Vec<DiffId>>,
}

/// Host and path, and what follows the first `:` or `@` after the host.
pub(super) fn split_reference(reference: &str) -> Result<(String, String), CacheKeyError> {
    if reference.contains("://") {
        return Err(error("invalid reference"));
    }
    let (host, path) = reference.split_once('/').map_or((reference, ""), |(host, path)| (host, path));
    if host.is_empty() {
        return Err(error("hostname required"));
    }
    let end = path.find([':', '@']).unwrap_or(path.len());
    let (path, object) = path.split_at(end);
    let object = object.strip_prefix(':').unwrap_or(object);
    if object.is_empty() {
        return Err(error("object required"));
    }
    Ok((format!("{host}/{path}"), object.to_owned()))
}

fn parse_resolve_mode(text: &str) -> Result<ResolveMode, CacheKeyError> {
    match text {
        "default" | "" => Ok(ResolveMode::Default),
        "pull" => Ok(ResolveMode::ForcePull),
        "local" => Ok(ResolveMode::PreferLocal),
        other => Err(error(format!("invalid resolvemode: {other}"))),
    }
}

pub(super) fn parse_record_type(text: &str) -> Result<RecordType, CacheKeyError> {
    match text {
        "" | "regular" => Ok(RecordType::Regular),
        "internal" => Ok(RecordType::Internal),
        "frontend" => Ok(RecordType::Frontend),
        other => Err(error(format!("invalid record type {other}"))),
    }
}

fn parse_layer_limit(text: &str) -> Result<u32, CacheKeyError> {
    match text.parse::<i64>() {
        Ok(limit) => u32::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| error(format!("invalid layer limit {text}"))),
        Err(_) => {
            Err(error(format!("invalid layer limit {text}: strconv.Atoi: parsing {text:?}: invalid syntax")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_key_however_it_is_written() {
        let root = Digest::of("root");
        let key = |variant: &str| manifest_key(&root, &Platform::new("linux", "arm64", variant), None);
        assert_eq!(key("v8"), key(""));
        assert_ne!(key("v9"), key(""));
    }

    #[test]
    fn a_config_that_is_not_json_is_its_own_key() {
        assert_eq!(config_key(b"no json", None), Ok(Some(key(&Digest::of("no json").to_string()))));
        assert!(config_key(b"no json", Some(1)).is_err());
        assert_eq!(config_key(b"{}", None), Ok(None));
    }
}
