//! Chunks: for servers, or proxies before them, that refuse large requests.

use http::header::{CONTENT_RANGE, HeaderMap, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};

use super::Outgoing;
use super::session::{Session, Upload};
use crate::error::Error;
use crate::request::{Payload, Target, protocol};

/// Below the limits that proxies are known to have (a hundred megabytes, often fewer).
const CHUNK: u64 = 32 << 20;
const SMALLEST: u64 = 64 << 10;

impl Upload<'_> {
    pub(super) async fn in_chunks(&self, mut session: Session, whole: &Outgoing) -> Result<(), Error> {
        let retry = &self.client.options.retry;
        let mut chunk = CHUNK.max(session.least_chunk);
        let (mut offset, mut failed) = (0, 0);
        while offset < whole.length {
            let length = chunk.min(whole.length - offset);
            let error = match self.append(&mut session, whole, offset, length).await {
                Ok(reached) if reached > offset && reached <= whole.length => {
                    (offset, failed) = (reached, 0);
                    continue;
                }
                Ok(_) => protocol(&self.asked, "it did not take a chunk"),
                Err(error) => error,
            };
            let status = match &error {
                Error::Refused { answer, .. } => Some(answer.status),
                _ => None,
            };
            let smaller = (chunk / 4).max(session.least_chunk).max(SMALLEST);
            match status {
                Some(StatusCode::PAYLOAD_TOO_LARGE) if smaller < chunk => chunk = smaller,
                Some(StatusCode::RANGE_NOT_SATISFIABLE) => failed += 1,
                _ if error.is_transient() => failed += 1,
                _ => {
                    self.cancel(session).await;
                    return Err(error);
                }
            }
            if failed >= retry.attempts {
                return Err(error);
            }
            if failed > 0 {
                tokio::time::sleep(retry.delay(failed)).await;
            }
            offset = self.standing(&mut session).await?.min(whole.length);
        }
        self.close(&session, Payload::Empty).await
    }

    /// Sends one chunk; answers how far the upload has come.
    async fn append(
        &self,
        session: &mut Session,
        whole: &Outgoing,
        offset: u64,
        length: u64,
    ) -> Result<u64, Error> {
        let mut call = self.call(Method::PATCH, Target::Url(session.location.clone()));
        let range = HeaderValue::from_str(&format!("{offset}-{}", offset + length - 1));
        call.headers.insert(CONTENT_RANGE, range.map_err(|_| protocol(&self.asked, "bad range"))?);
        call.payload = Payload::Stream(Outgoing { offset, length, ..whole.clone() });
        let response = self.client.send_once(&self.endpoint, &call).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        self.follow(session, &response)?;
        Ok(reached(response.headers()).unwrap_or(offset + length))
    }

    /// How many bytes the server has.
    async fn standing(&self, session: &mut Session) -> Result<u64, Error> {
        let call = self.call(Method::GET, Target::Url(session.location.clone()));
        let response = self.client.send(&self.endpoint, &call).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        self.follow(session, &response)?;
        Ok(reached(response.headers()).unwrap_or(0))
    }

    fn follow(&self, session: &mut Session, response: &reqwest::Response) -> Result<(), Error> {
        if response.headers().contains_key(LOCATION) {
            session.location = self.client.location(&self.endpoint, response, &self.asked)?;
        }
        Ok(())
    }
}

/// `Range: 0-N` means N + 1 bytes; an upload without any says `0-0`, and so does one with a single
/// byte, which no chunk of ours makes.
fn reached(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let last: u64 = range.trim_start_matches("bytes=").split_once('-')?.1.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
