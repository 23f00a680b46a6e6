//! Cache keys of recorded operations against those of the reference.
#![expect(clippy::unwrap_used, reason = "a test whose golden data is malformed should fail loudly")]

use std::path::PathBuf;

use base64::Engine as _;
use prost::Message as _;
use serde_json::{Value, json};
use slipway_model::Platform;
use slipway_model::llb::pb::{self, op::Op};
use slipway_worker::ops::cache_key::{self, CacheKey, CacheKeyError, source};
use time::format_description::well_known::Rfc2822;

#[test]
fn operations_are_cached_as_recorded() {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("cachekeys.json")) else {
        println!("cachekeys: skipped, no golden data at {}", folder.display());
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let failed: Vec<String> = rows.iter().filter_map(difference).collect();
    println!("cachekeys: {} of {}", rows.len() - failed.len(), rows.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What differs from the row, if anything.
fn difference(row: &Value) -> Option<String> {
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(row["opProtobufBase64"].as_str().unwrap()).unwrap();
    let op = pb::Op::decode(bytes.as_slice()).unwrap();
    let platform = platform(op.platform.as_ref());
    let found = match keys(&op, &platform, &row["source"]) {
        Ok(keys) => describe(&keys),
        Err(error) => json!({ "error": stable(&error.to_string()) }),
    };
    let expected = match row.get("error").and_then(Value::as_str) {
        Some(error) => json!({ "error": stable(error) }),
        None => expected(row),
    };
    (found != expected).then(|| format!("{}:\n  expected {expected}\n  found    {found}", row["name"]))
}

/// The rest of these two texts has no stable form.
fn stable(error: &str) -> &str {
    ["invalid mount cache content", "invalid mountinput"]
        .into_iter()
        .find(|prefix| error.starts_with(prefix))
        .unwrap_or(error)
}

fn expected(row: &Value) -> Value {
    let keys: Vec<Value> = match row["source"]["cacheMaps"].as_array() {
        Some(maps) => maps.iter().map(|map| json!([map["cacheMapDigest"], map["preimage"]])).collect(),
        None => vec![json!([row["cacheMapDigest"], row["preimage"]])],
    };
    let inputs: Vec<Value> = row["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| {
            let content = input["contentBased"].as_bool().unwrap().then(|| {
                let selectors = input["contentSelectors"].as_array().into_iter().flatten();
                selectors.map(selector_of_row).collect::<Vec<_>>()
            });
            json!({ "selector": input["selector"], "content": content })
        })
        .collect();
    json!({ "keys": keys, "inputs": inputs })
}

fn selector_of_row(selector: &Value) -> Value {
    let field = |name: &str| selector[name].clone();
    let list = |name: &str| field(name).as_array().cloned().unwrap_or_default();
    json!({
        "path": field("path"),
        "wildcard": field("wildcard").as_bool().unwrap_or(false),
        "follow": field("followLinks").as_bool().unwrap_or(false),
        "include": list("includePatterns"),
        "exclude": list("excludePatterns"),
        "required": list("requiredPaths"),
    })
}

fn describe(keys: &[CacheKey]) -> Value {
    let inputs: Vec<Value> = keys[0]
        .inputs
        .iter()
        .map(|input| {
            let content = input.content.as_ref().map(|selectors| {
                let selectors = selectors.iter().map(|selector| {
                    json!({
                        "path": selector.path,
                        "wildcard": selector.wildcard,
                        "follow": selector.follow_links,
                        "include": selector.include,
                        "exclude": selector.exclude,
                        "required": selector.required,
                    })
                });
                selectors.collect::<Vec<_>>()
            });
            let selector = input.selector.map(|digest| digest.to_string()).unwrap_or_default();
            json!({ "selector": selector, "content": content })
        })
        .collect();
    let keys: Vec<Value> = keys.iter().map(|key| json!([key.name(), key.preimage])).collect();
    json!({ "keys": keys, "inputs": inputs })
}

fn keys(op: &pb::Op, platform: &Platform, resolved: &Value) -> Result<Vec<CacheKey>, CacheKeyError> {
    let inputs = op.inputs.len();
    Ok(vec![match op.op.as_ref().unwrap() {
        Op::Exec(exec) => cache_key::exec(exec, platform, inputs)?,
        Op::File(file) => cache_key::file(file, inputs)?,
        Op::Merge(merge) => cache_key::merge(merge),
        Op::Diff(diff) => cache_key::diff(diff)?,
        Op::Build(build) => cache_key::build(build, inputs),
        Op::Passthrough(passthrough) => cache_key::passthrough(passthrough, inputs)?,
        Op::Source(source) => return source_keys(source, platform, resolved),
    }])
}

fn source_keys(
    op: &pb::SourceOp,
    platform: &Platform,
    resolved: &Value,
) -> Result<Vec<CacheKey>, CacheKeyError> {
    let (scheme, rest) = op.identifier.split_once("://").unwrap();
    let text = |name: &str| resolved[name].as_str().unwrap_or_default();
    Ok(match scheme {
        "docker-image" | "oci-layout" => {
            let image = source::ImageIdentifier::parse(rest, op)?;
            let manifest = text("resolvedManifestDigest").parse().unwrap();
            let first = source::manifest_key(&manifest, platform, image.layer_limit);
            let second = source::config_key(text("configJSON").as_bytes(), image.layer_limit)?;
            vec![first.clone(), second.unwrap_or(first)]
        }
        "git" => {
            let git = source::GitIdentifier::parse(rest, op)?;
            let by_text = git.resolve_by_text()?;
            let given = || {
                let resolved = &resolved["resolved"];
                let text = |name: &str| resolved[name].as_str().unwrap().to_owned();
                source::ResolvedGit {
                    reference: text("ref"),
                    checksum: text("checksum"),
                    commit: Some(text("commitChecksum")).filter(|commit| !commit.is_empty()),
                }
            };
            vec![git.key(&by_text.unwrap_or_else(given))]
        }
        "http" | "https" => {
            let http = source::HttpIdentifier::parse(op)?;
            let body = text("bodyDigest").parse().unwrap();
            let modified = resolved["lastModified"]
                .as_str()
                .map(|date| time::OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).unwrap());
            vec![http.key(text("responseFilename"), &body, modified)]
        }
        "local" => {
            let local = source::LocalIdentifier::parse(rest, op)?;
            vec![local.key(local.session.as_deref().unwrap_or("sess0123456789"))]
        }
        other if other.ends_with("+blob") => vec![source::BlobIdentifier::parse(rest, op)?.key()],
        other => panic!("unknown scheme {other}"),
    })
}

fn platform(wire: Option<&pb::Platform>) -> Platform {
    wire.map_or_else(Platform::host, |wire| Platform::from(wire).normalized())
}
