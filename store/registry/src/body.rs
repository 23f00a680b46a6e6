//! Reading answers: bounded, and given up when they fall silent.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::{Answer, Asked, Error};

/// More of an error page than this says nothing.
const LARGEST_ERROR: u64 = 64 << 10;

/// The next piece of `response`; an error if none comes for `silence`.
pub(crate) async fn next_piece(
    response: &mut reqwest::Response,
    asked: &Asked,
    silence: Duration,
) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(silence, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(broken(asked, error)),
        Err(_) => Err(silent(asked, silence)),
    }
}

/// The whole body, if it is no larger than `limit`.
pub(crate) async fn read(
    mut response: reqwest::Response,
    asked: &Asked,
    limit: u64,
    silence: Duration,
) -> Result<Bytes, Error> {
    let too_large = || Error::TooLarge { asked: asked.clone(), limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(piece) = next_piece(&mut response, asked, silence).await? {
        whole.extend_from_slice(&piece);
        if whole.len() as u64 > limit {
            return Err(too_large());
        }
    }
    Ok(whole.freeze())
}

/// What an error answer says; its body is worth a look, but no failure of its own.
pub(crate) async fn answer(response: reqwest::Response, asked: &Asked, silence: Duration) -> Answer {
    let status = response.status();
    let body = read(response, asked, LARGEST_ERROR, silence).await.unwrap_or_default();
    Answer::new(status, &body)
}

/// A transport failure, and whether it may pass.
pub(crate) fn broken(asked: &Asked, error: reqwest::Error) -> Error {
    let transient = !error.is_builder() && (error.is_timeout() || !error.is_connect());
    let host = error.url().and_then(|url| url.host_str()).map(str::to_owned);
    let error = error.without_url();
    let source = match host.filter(|_| is_about_a_name(&error)) {
        // In the words of Go's programs: people and scripts search for them.
        Some(host) => format!("dial tcp: lookup {host}: no such host").into(),
        None => Box::new(error) as Box<dyn StdError + Send + Sync>,
    };
    Error::Unreachable { asked: asked.clone(), source, transient }
}

/// Whether it was the name that could not be found.
fn is_about_a_name(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.to_string().starts_with("dns error") {
            return true;
        }
        cause = error.source();
    }
    false
}

pub(crate) fn silent(asked: &Asked, silence: Duration) -> Error {
    let source = format!("nothing came for {} seconds", silence.as_secs_f32());
    Error::Unreachable { asked: asked.clone(), source: source.into(), transient: true }
}
