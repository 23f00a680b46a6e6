//! `GET`, `HEAD` and `PUT` of manifests, by tag and by digest.

use http::{Method, StatusCode};
use serde_json::Value;
use slipway_model::Digest;

use super::reply::{Reply, error, with_headers};
use super::route::Asked;
use super::state::State;

pub(super) fn answer(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    match asked.method {
        Method::GET | Method::HEAD => get(asked, state, repository, name),
        Method::PUT => put(asked, state, repository, name),
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn get(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    let Some(manifest) = state.manifest(repository, name) else {
        return error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let mut headers = vec![
        ("content-type", manifest.media_type.clone()),
        ("content-length", manifest.bytes.len().to_string()),
    ];
    if !state.options.hide_digests {
        headers.push(("docker-content-digest", manifest.digest.to_string()));
    }
    let body = if asked.method == Method::HEAD { Default::default() } else { manifest.bytes };
    with_headers(StatusCode::OK, &headers, body)
}

/// What a manifest points to has to be there first, as in the specification, unless it says where else it is.
fn put(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    let Ok(manifest) = serde_json::from_slice::<Value>(&asked.body) else {
        return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid");
    };
    let digests = |field: &str| -> Vec<String> {
        let list = match &manifest[field] {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let own = list.iter().filter(|d| d["urls"].as_array().is_none_or(Vec::is_empty));
        own.filter_map(|d| d["digest"].as_str().map(str::to_owned)).collect()
    };
    let blobs = [digests("config"), digests("layers")].concat();
    if blobs.iter().any(|d| !d.parse().is_ok_and(|d: Digest| state.holds(repository, &d))) {
        return error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    }
    // Caches are indexes of layers: blobs will do, as real registries find.
    let is_there = |text: &String| {
        let is_blob = text.parse().is_ok_and(|digest: Digest| state.holds(repository, &digest));
        is_blob || state.manifest(repository, text).is_some()
    };
    if !digests("manifests").iter().all(is_there) {
        return error(StatusCode::BAD_REQUEST, "MANIFEST_UNKNOWN", "manifest unknown");
    }
    if name.parse().is_ok_and(|digest: Digest| digest != Digest::of(&asked.body)) {
        return error(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    let media_type = asked.header("content-type").unwrap_or_default();
    let digest = state.put_manifest(repository, name, media_type, asked.body.clone());
    let headers = [
        ("location", format!("/v2/{repository}/manifests/{digest}")),
        ("docker-content-digest", digest.to_string()),
    ];
    with_headers(StatusCode::CREATED, &headers, Default::default())
}
