//! `GET` and `HEAD` of blobs, with ranges.

use http::{Method, StatusCode};

use super::reply::{Reply, error, with_headers};
use super::route::Asked;
use super::state::State;

pub(super) fn answer(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    let there = name.parse().is_ok_and(|digest| state.holds(repository, &digest));
    if state.options.redirect_blobs && there && asked.method == Method::GET {
        let location = format!("http://{}/storage/{repository}/blobs/{name}?signature=abc", state.storage);
        return with_headers(StatusCode::TEMPORARY_REDIRECT, &[("location", location)], Default::default());
    }
    serve(asked, state, repository, name)
}

pub(super) fn serve(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    let Some(bytes) = name.parse().ok().and_then(|digest| state.blob(repository, &digest)) else {
        return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let common = [
        ("content-type", "application/octet-stream".to_owned()),
        ("docker-content-digest", name.to_owned()),
        ("accept-ranges", "bytes".to_owned()),
    ];
    if asked.method == Method::HEAD {
        let mut headers = common.to_vec();
        headers.push(("content-length", bytes.len().to_string()));
        return with_headers(StatusCode::OK, &headers, Default::default());
    }
    let range = asked.header("range").and_then(|range| range.strip_prefix("bytes="));
    let start = range.and_then(|range| range.split_once('-')?.0.parse::<usize>().ok());
    match start {
        Some(start) if !state.options.ignore_ranges => {
            if start >= bytes.len() {
                return error(StatusCode::RANGE_NOT_SATISFIABLE, "UNKNOWN", "range out of the blob");
            }
            let mut headers = common.to_vec();
            headers.push(("content-range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())));
            with_headers(StatusCode::PARTIAL_CONTENT, &headers, bytes.slice(start..))
        }
        _ => with_headers(StatusCode::OK, &common, bytes),
    }
}
