//! Whether the client still answers. A connection can stay open long after the other end is gone, or has stopped
//! reading; a build that waits for it would wait for ever.
//!
//! A busy client may be slow: only the second answer in a row that fails ends the session, and an answer that took
//! long gives the next one more time. The header `X-Buildkit-Session-Health-Custom-Timeout` (milliseconds, at least
//! a second) asks for less patience.

use std::time::{Duration, Instant};

use slipway_proto::health::HealthCheckRequest;
use slipway_proto::health::health_client::HealthClient;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connection::{SessionService, origin};

pub(super) const METHOD: &str = "/grpc.health.v1.Health/Check";

/// How long and how often a client may fail to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures in a row that end the session.
    pub failures: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(15), failures: 2 }
    }
}

impl Patience {
    /// What a client asked for; anything but a number of milliseconds asks for nothing.
    pub(super) fn from_header(value: Option<&str>) -> Self {
        let Some(milliseconds @ 1..) = value.and_then(|value| value.parse().ok()) else {
            return Self::default();
        };
        let time = Duration::from_millis(milliseconds).max(Duration::from_secs(1));
        Self { interval: time, timeout: time, failures: 1 }
    }
}

/// Asks again and again; returns when the client answers no more.
pub(super) async fn until_lost(service: SessionService, patience: Patience) {
    let mut client = HealthClient::with_origin(service, origin());
    let mut ticks = interval(patience.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    let (mut failures, mut last) = (0, Duration::ZERO);
    while failures < patience.failures {
        ticks.tick().await;
        let asked = Instant::now();
        let answer =
            timeout(patience.timeout.max(last * 3 / 2), client.check(HealthCheckRequest::default())).await;
        last = asked.elapsed();
        match answer {
            Ok(Ok(_)) => failures = 0,
            _ => failures += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_ask_for_less_patience_but_not_for_none() {
        let asked = |header| Patience::from_header(header);
        assert_eq!(asked(Some("2500")).timeout, Duration::from_millis(2500));
        assert_eq!(asked(Some("1")).interval, Duration::from_secs(1));
        for nothing in [None, Some(""), Some("0"), Some("-1"), Some("soon")] {
            assert_eq!(asked(nothing), Patience::default());
        }
    }
}
