//! Answers, and bodies that break on purpose.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use super::FaultKind;

pub(super) type Body = BoxBody<Bytes, io::Error>;
pub(super) type Reply = Response<Body>;

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(super) fn empty(status: StatusCode) -> Reply {
    with_headers(status, &[], Bytes::new())
}

pub(super) fn with_headers(status: StatusCode, headers: &[(&str, String)], body: Bytes) -> Reply {
    let mut reply = Response::new(full(body));
    *reply.status_mut() = status;
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name);
        let value = http::HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

/// The specification's error body.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = json!({ "errors": [{ "code": code, "message": message, "detail": null }] }).to_string();
    with_headers(status, &[(CONTENT_TYPE.as_str(), "application/json".into())], body.into())
}

/// `reply` with its body spoiled as the fault says. Kinds that are no matter of the body change nothing.
pub(super) async fn spoil(reply: Reply, fault: &FaultKind) -> Reply {
    let (mut head, body) = reply.into_parts();
    let bytes = BodyExt::collect(body).await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let body = match fault {
        FaultKind::Corrupt if !bytes.is_empty() => {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            full(bytes)
        }
        FaultKind::DropAfter(length) => {
            head.headers.insert(CONTENT_LENGTH, bytes.len().into());
            let part = bytes.slice(..bytes.len().min(*length));
            let broken = stream::iter([Ok(Frame::data(part)), Err(io::ErrorKind::ConnectionReset.into())]);
            // A pause, so that the part is flushed before the connection breaks.
            let paused = StreamExt::then(broken, |frame| async {
                if frame.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                frame
            });
            BodyExt::boxed(StreamBody::new(paused))
        }
        FaultKind::Truncate(length) => {
            let part = bytes.slice(..bytes.len().min(*length));
            head.headers.insert(CONTENT_LENGTH, part.len().into());
            full(part)
        }
        FaultKind::Slow { piece, pause } => {
            head.headers.insert(CONTENT_LENGTH, bytes.len().into());
            let pieces: Vec<_> = bytes.chunks((*piece).max(1)).map(Bytes::copy_from_slice).collect();
            let pause = *pause;
            let slow = StreamExt::then(stream::iter(pieces), move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(piece))
            });
            BodyExt::boxed(StreamBody::new(slow))
        }
        _ => full(bytes),
    };
    Response::from_parts(head, body)
}
