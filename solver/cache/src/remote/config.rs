//! The config of a cache, as it is written: JSON with indexes into its own lists.
//!
//! Nothing here is trusted: [`records`](super::records) checks every index before it follows it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use slipway_model::Descriptor;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, Result};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub layers: Vec<Layer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub records: Vec<Record>,
    /// The index of cache mounts that travel along ([`crate::mounts`]). Our own: others pass over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Box<Descriptor>>,
}

/// A layer blob on top of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    #[serde(default)]
    pub blob: String,
    /// Index of the layer below; -1 for none. Zero is left out, and what is left out is zero.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<LayerAnnotations>,
}

/// What a manifest's descriptor says, where a cache has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerAnnotations {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, rename = "diffID", skip_serializing_if = "String::is_empty")]
    pub diff_id: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: i64,
    #[serde(default)]
    pub created_at: String,
}

/// A key, what leads to it, and its results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(
        default,
        rename = "layers",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub results: Vec<RecordResult>,
    #[serde(
        default,
        rename = "chains",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub chains: Vec<ChainedResult>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// For each input, every link that leads here.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub inputs: Vec<Vec<Input>>,
}

/// A layer with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordResult {
    #[serde(default)]
    pub layer: i64,
    #[serde(default)]
    pub created_at: String,
}

/// Layers one by one, whatever is below them in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainedResult {
    #[serde(default, deserialize_with = "null_as_empty")]
    pub layers: Vec<i64>,
    #[serde(default)]
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Index of the record that leads here.
    #[serde(default)]
    pub link: i64,
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(Error::Config)
    }
}

/// A time as JSON has it; one that cannot be read is long ago.
pub fn time_from(text: &str) -> SystemTime {
    let time = OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from);
    time.unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH)
}

/// RFC 3339, UTC.
pub fn time_to(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Go writes empty lists as `null` now and then.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
