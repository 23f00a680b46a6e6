//! Uploads: begin (or mount), append, ask how far, finish, cancel.

use http::{Method, StatusCode};
use slipway_model::Digest;

use super::reply::{Reply, empty, error, with_headers};
use super::route::Asked;
use super::state::{State, Upload};
use super::token;

pub(super) fn answer(asked: &Asked, state: &State, repository: &str, name: &str) -> Reply {
    match asked.method {
        Method::POST => begin(asked, state, repository),
        Method::PATCH => append(asked, state, name),
        Method::PUT => finish(asked, state, name),
        Method::GET => match state.uploads.lock().get(name) {
            Some(upload) => progress(state, StatusCode::NO_CONTENT, name, upload),
            None => unknown(),
        },
        Method::DELETE => match state.uploads.lock().remove(name) {
            Some(_) => empty(StatusCode::NO_CONTENT),
            None => unknown(),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn begin(asked: &Asked, state: &State, repository: &str) -> Reply {
    if let (Some(digest), Some(from)) = (asked.query("mount"), asked.query("from")) {
        if token::check(asked, state, Some((from, "pull"))).is_some() {
            return error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        }
        let blob = digest.parse().ok().and_then(|digest| state.blob(from, &digest));
        if let (Some(blob), false) = (blob, state.options.refuse_mounts) {
            return created(repository, &state.put_blob(repository, blob));
        }
    }
    let name = state.next("upload");
    let upload = Upload { repository: repository.to_owned(), bytes: Vec::new() };
    let reply = progress(state, StatusCode::ACCEPTED, &name, &upload);
    state.uploads.lock().insert(name, upload);
    reply
}

fn append(asked: &Asked, state: &State, name: &str) -> Reply {
    let mut uploads = state.uploads.lock();
    let Some(upload) = uploads.get_mut(name) else { return unknown() };
    let start =
        asked.header("content-range").and_then(|range| range.split_once('-')?.0.parse::<usize>().ok());
    if start.is_some_and(|start| start != upload.bytes.len()) {
        return progress(state, StatusCode::RANGE_NOT_SATISFIABLE, name, upload);
    }
    upload.bytes.extend_from_slice(&asked.body);
    progress(state, StatusCode::ACCEPTED, name, upload)
}

fn finish(asked: &Asked, state: &State, name: &str) -> Reply {
    let Some(mut upload) = state.uploads.lock().remove(name) else { return unknown() };
    upload.bytes.extend_from_slice(&asked.body);
    let expected = asked.query("digest").and_then(|digest| digest.parse::<Digest>().ok());
    if expected != Some(Digest::of(&upload.bytes)) {
        return error(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    created(&upload.repository, &state.put_blob(&upload.repository, upload.bytes.into()))
}

fn progress(state: &State, status: StatusCode, name: &str, upload: &Upload) -> Reply {
    let repository = &upload.repository;
    let location = if state.options.upload_elsewhere {
        format!("http://{}/storage/{repository}/blobs/uploads/{name}", state.storage)
    } else {
        format!("/v2/{repository}/blobs/uploads/{name}?_state=opaque")
    };
    let mut headers = vec![
        ("location", location),
        ("docker-upload-uuid", name.to_owned()),
        ("range", format!("0-{}", upload.bytes.len().saturating_sub(1))),
    ];
    if let Some(least) = state.options.least_chunk {
        headers.push(("oci-chunk-min-length", least.to_string()));
    }
    with_headers(status, &headers, Default::default())
}

fn created(repository: &str, digest: &Digest) -> Reply {
    let headers = [
        ("location", format!("/v2/{repository}/blobs/{digest}")),
        ("docker-content-digest", digest.to_string()),
    ];
    with_headers(StatusCode::CREATED, &headers, Default::default())
}

fn unknown() -> Reply {
    error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}
