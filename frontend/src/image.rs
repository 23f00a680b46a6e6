//! The image config as results carry it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use slipway_model::image_config::{History, RunConfig};
use slipway_model::{DiffId, ImageConfig, Platform};

use crate::error::Failure;

#[derive(Serialize)]
struct Reported<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(flatten)]
    platform: &'a Platform,
    config: &'a RunConfig,
    rootfs: ReportedRootFs<'a>,
    #[serde(skip_serializing_if = "<[History]>::is_empty")]
    history: &'a [History],
    #[serde(flatten)]
    other: &'a BTreeMap<String, Value>,
}

#[derive(Serialize)]
struct ReportedRootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: Option<&'a [DiffId]>,
}

/// JSON. Without layers there is `null`, as the reference writes it; exporters fill it in.
pub(crate) fn image_json(image: &ImageConfig, is_layerless: bool) -> Result<Bytes, Failure> {
    let reported = Reported {
        created: image.created.as_deref(),
        author: &image.author,
        platform: &image.platform,
        config: &image.config,
        rootfs: ReportedRootFs {
            kind: &image.rootfs.kind,
            diff_ids: (!is_layerless).then_some(&image.rootfs.diff_ids),
        },
        history: &image.history,
        other: &image.other,
    };
    let json = serde_json::to_vec(&reported);
    json.map(Bytes::from).map_err(|error| Failure::from(error).context("failed to marshal image config"))
}
