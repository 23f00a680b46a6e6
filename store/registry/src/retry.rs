//! Trying again: what is worth it, how often, and how long to wait.
//!
//! | failure | again? |
//! |---|---|
//! | 5xx (but 501, 505), 408, 429 | yes; `Retry-After` is kept to, up to a limit |
//! | connection reset or closed, silence, timeout | yes |
//! | no such host, connection refused, bad certificate | no: it will be the same in a second |
//! | any other answer | no |

use std::future::Future;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::Error;

#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// Requests in all, the first included.
    pub attempts: u32,
    /// Before the second attempt; it doubles with each further one.
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// A registry that asks for more patience than this is given up.
    pub longest_retry_after: Duration,
    /// A transfer without a byte for this long is broken.
    pub silence: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        }
    }
}

impl RetryOptions {
    /// The pause after `failed` attempts (one or more).
    pub fn delay(&self, failed: u32) -> Duration {
        self.first_delay.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(self.longest_delay)
    }

    /// Runs `attempt` until it succeeds, fails for good, or was tried often enough.
    pub(crate) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failed = 0;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failed += 1;
            if failed >= self.attempts || !error.is_transient() {
                return Err(error);
            }
            let delay = self.delay(failed);
            tracing::debug!(%error, ?delay, "trying again");
            tokio::time::sleep(delay).await;
        }
    }
}

pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
        || status.is_server_error()
            && !matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // HTTP dates are RFC 2822 dates whose zone is spelled GMT.
    let date = OffsetDateTime::parse(&value.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(Duration::try_from(date - now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = datetime!(2024-05-01 10:00:00 UTC);
        let after = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(value))]);
            retry_after(&headers, now)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 01 May 2024 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Wed, 01 May 2024 09:00:30 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let options = RetryOptions::default();
        let delays: Vec<_> = (1..7).map(|failed| options.delay(failed).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 8, 8]);
    }
}
