//! The frontend's image config, finished: `rootfs`, `history`, `created`. All else stays as it came.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};
use slipway_model::image_config::History;
use slipway_model::{DiffId, ImageConfig, Platform};

use super::history::{Dates, Times, bounded, line_up};
use super::json;
use crate::error::{Error, Result};

/// A path that finds the programs of most images.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config to be stored. `config` and `base` are JSON; empty for none.
pub fn finish_config(
    config: &[u8],
    base: &[u8],
    layers: &[DiffId],
    describe: impl Fn(usize) -> String,
    dates: Dates,
) -> Result<Vec<u8>> {
    let config = if config.is_empty() { default_config()? } else { config.to_vec() };
    // Sorted by key, as the reference's.
    let config: Option<BTreeMap<String, Value>> =
        serde_json::from_slice(&config).map_err(|error| Error::Config(error.to_string()))?;
    let mut config = config.ok_or(Error::NoConfig)?;
    let is_named = |key: &str| config.get(key).and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    match (is_named("os"), is_named("architecture")) {
        (true, true) => {}
        (false, false) => return Err(Error::Config("missing os and architecture".into())),
        _ => return Err(Error::HalfPlatform),
    }
    let history: Vec<History> = match config.remove("history") {
        None | Some(Value::Null) => Vec::new(),
        Some(lines) => serde_json::from_value(lines).map_err(|error| Error::Config(error.to_string()))?,
    };
    let base = match base {
        [] => ImageConfig::default(),
        base => {
            ImageConfig::parse(base).map_err(|error| Error::Config(format!("of the base image: {error}")))?
        }
    };
    let times = Times { dates, base: &base.history };
    let history = line_up(history, layers.len(), describe, &times);
    let created = config.remove("created").filter(|created| !created.is_null());
    let latest = || history.iter().rev().find_map(|line| line.created.clone());
    let created = match (&times.dates, created) {
        (Dates::None, created) => created,
        (Dates::Layers(_), created) => created.or_else(|| latest().map(Into::into)),
        (Dates::Epoch(epoch), Some(created)) => Some(bounded(created.as_str(), *epoch).into()),
        (Dates::Epoch(epoch), None) => Some(latest().unwrap_or_else(|| bounded(None, *epoch)).into()),
    };
    if let Some(created) = created {
        config.insert("created".into(), created);
    }
    config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": layers }));
    if !history.is_empty() {
        config.insert("history".into(), json!(history));
    }
    json::compact("the image config", &config)
}

/// The field of an image config that holds an inline cache, as BuildKit names it.
const INLINE_CACHE: &str = "moby.buildkit.cache.v0";

/// `config` with the records of a build cache in it.
pub(super) fn with_inline_cache(config: &[u8], cache: &[u8]) -> Result<Vec<u8>> {
    let mut config: BTreeMap<String, Value> =
        serde_json::from_slice(config).map_err(|error| Error::Config(error.to_string()))?;
    let text = base64::engine::general_purpose::STANDARD.encode(cache);
    config.insert(INLINE_CACHE.into(), text.into());
    json::compact("the image config", &config)
}

fn default_config() -> Result<Vec<u8>> {
    let mut image = ImageConfig { platform: Platform::host().normalized(), ..ImageConfig::default() };
    image.config.env.push(DEFAULT_PATH.into());
    image.config.working_dir = "/".into();
    image.to_json().map_err(Error::json("the image config"))
}

#[cfg(test)]
mod tests {
    use slipway_model::Digest;

    use super::*;

    fn finished(config: &str, layers: usize, epoch: Option<i64>) -> Result<String> {
        let layers = vec![DiffId(Digest::of("layer")); layers];
        let json = finish_config(
            config.as_bytes(),
            b"",
            &layers,
            |n| format!("step {n}"),
            epoch.map_or(Dates::None, Dates::Epoch),
        )?;
        Ok(String::from_utf8(json).unwrap())
    }

    #[test]
    fn unknown_fields_stay_and_keys_are_sorted() {
        let json =
            finished(r#"{"zebra":[1],"os":"linux","architecture":"arm64","config":{"B":1,"A":2}}"#, 1, None)
                .unwrap();
        let layer = Digest::of("layer");
        assert_eq!(
            json,
            format!(
                r#"{{"architecture":"arm64","config":{{"B":1,"A":2}},"history":[{{"created_by":"step 0","comment":"buildkit.exporter.image.v0"}}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["{layer}"]}},"zebra":[1]}}"#
            )
        );
    }

    #[test]
    fn times_come_only_with_an_epoch() {
        let config = r#"{"os":"linux","architecture":"amd64","created":null}"#;
        assert!(!finished(config, 1, None).unwrap().contains("created\":"));
        let dated = finished(config, 1, Some(0)).unwrap();
        assert_eq!(dated.matches("1970-01-01T00:00:00Z").count(), 2, "{dated}");
    }

    #[test]
    fn a_config_without_a_platform_is_refused() {
        for (config, expected) in [
            (r#"{"os":"linux"}"#, "invalid image config: os and architecture must be specified together"),
            (
                r#"{"architecture":"amd64"}"#,
                "invalid image config: os and architecture must be specified together",
            ),
            ("{}", "invalid image config for export: missing os and architecture"),
            ("null", "invalid null image config for export"),
        ] {
            assert_eq!(finished(config, 0, None).unwrap_err().to_string(), expected);
        }
        assert!(finished("", 0, None).unwrap().contains("\"diff_ids\":[]"));
    }
}
