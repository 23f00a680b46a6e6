//! Where bytes are: block blobs, as Azure keeps them.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use super::{Reply, State, reply};

pub(super) fn answer(
    state: &State,
    method: &Method,
    entry: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Reply {
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("sig") != Some(&format!("s3cret{}", state.signature.lock())) {
        return reply(403, "AuthenticationFailed");
    }
    if headers.contains_key("authorization") {
        return reply(400, "a signed address needs no token, and should not see one");
    }
    let mut entries = state.entries.lock();
    let Some(entry) = entry.parse().ok().and_then(|index: usize| entries.get_mut(index)) else {
        return reply(404, "BlobNotFound");
    };
    match (method, field("comp")) {
        (&Method::PUT, None) if headers.get("x-ms-blob-type").is_some_and(|kind| kind == "BlockBlob") => {
            entry.bytes = Some(body);
            reply(201, "")
        }
        (&Method::PUT, Some("block")) => {
            let id = field("blockid").unwrap_or_default().to_owned();
            entry.blocks.insert(id, body);
            reply(201, "")
        }
        (&Method::PUT, Some("blocklist")) => {
            let list = String::from_utf8_lossy(&body).into_owned();
            let ids = list.split("<Latest>").skip(1).filter_map(|rest| rest.split("</Latest>").next());
            let mut whole = BytesMut::new();
            for id in ids {
                match entry.blocks.get(id) {
                    Some(block) => whole.extend_from_slice(block),
                    None => return reply(400, "InvalidBlockList"),
                }
            }
            entry.bytes = Some(whole.freeze());
            reply(201, "")
        }
        (&Method::GET, None) => read(entry.bytes.clone(), headers),
        _ => reply(400, "InvalidQueryParameterValue"),
    }
}

fn read(bytes: Option<Bytes>, headers: &HeaderMap) -> Reply {
    let Some(bytes) = bytes else { return reply(404, "BlobNotFound") };
    let range = headers.get("x-ms-range").and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let start: Option<usize> = range.and_then(|range| range.trim_end_matches('-').parse().ok());
    match start {
        None => reply(200, bytes),
        Some(start) if start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            let mut part = reply(206, bytes.slice(start..));
            if let Ok(range) = range.parse() {
                part.headers_mut().insert("content-range", range);
            }
            part
        }
        Some(_) => reply(416, "InvalidRange"),
    }
}
