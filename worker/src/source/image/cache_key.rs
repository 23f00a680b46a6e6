//! The cache keys of an image, equal to BuildKit's byte for byte.
//!
//! | key | of | so that |
//! |---|---|---|
//! | manifest key | root digest and platform, as JSON | a name that means the same is found without a config |
//! | config key | the chain id of the layers | equal trees are equal, whatever the image is called |
//!
//! What does *not* enter: the reference, the resolve mode, the record type, the checksum. A limit of
//! layers enters both. A config without layers has no config key; one that is not JSON is its own.

use serde::Serialize;
use slipway_model::{BlobDigest, ChainId, DiffId, Digest, Platform};

use super::Error;

/// Field names, order and omissions are Go's.
#[derive(Serialize)]
struct ManifestKey<'a> {
    #[serde(rename = "Digest")]
    digest: BlobDigest,
    #[serde(rename = "OS")]
    os: &'a str,
    #[serde(rename = "Arch")]
    architecture: &'a str,
    #[serde(rename = "Variant", skip_serializing_if = "str::is_empty")]
    variant: &'a str,
    #[serde(rename = "OSVersion", skip_serializing_if = "str::is_empty")]
    os_version: &'a str,
    #[serde(rename = "OSFeatures", skip_serializing_if = "<[String]>::is_empty")]
    os_features: &'a [String],
    #[serde(rename = "Limit", skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

/// `platform` is normalised here.
pub(super) fn manifest_key(root: BlobDigest, platform: &Platform, limit: Option<usize>) -> Digest {
    let platform = platform.normalized();
    let key = ManifestKey {
        digest: root,
        os: &platform.os,
        architecture: &platform.architecture,
        variant: &platform.variant,
        os_version: &platform.os_version,
        os_features: &platform.os_features,
        limit,
    };
    // A struct of texts and numbers always becomes JSON.
    Digest::of(go_json(&serde_json::to_string(&key).unwrap_or_default()))
}

/// Go writes these characters of texts as escapes; outside of texts they do not occur in JSON.
fn go_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text
}

/// `None`: the manifest key is the only one.
pub(super) fn config_key(config: &[u8], limit: Option<usize>) -> Result<Option<Digest>, Error> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        rootfs: Option<RootFs>,
    }
    #[derive(serde::Deserialize, Default)]
    struct RootFs {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        diff_ids: Option<Vec<DiffId>>,
    }
    let Ok(config) = serde_json::from_slice::<Config>(config) else {
        return Ok(Some(Digest::of(config)));
    };
    let rootfs = config.rootfs.unwrap_or_default();
    let mut diff_ids = rootfs.diff_ids.unwrap_or_default();
    if let Some(limit) = limit {
        if diff_ids.len() < limit {
            return Err(Error::LayerLimit { limit, layers: diff_ids.len() });
        }
        diff_ids.truncate(limit);
    }
    Ok(if rootfs.kind == "layers" { ChainId::of(&diff_ids).map(|chain| chain.0) } else { None })
}
