//! Filters of `du` and `prune`: the daemon's, and `until`, which is a bound of the request.
//!
//! The daemon reads `FIELD`, `FIELD==VALUE`, `FIELD!=VALUE` and `FIELD~=REGEX`, several joined by commas; here `=`
//! is the same as `==`, as `docker` writes it. `until=24h` (or `unused-for=24h`) is what was not used for that
//! long, and stands alone.

use crate::error::Failure;
use crate::format;

pub struct Filters {
    /// For the daemon.
    pub server: Vec<String>,
    unused_for: Option<String>,
}

impl Filters {
    pub fn parse(filters: &[String]) -> Result<Self, Failure> {
        let mut parsed = Self { server: Vec::new(), unused_for: None };
        for filter in filters {
            let until = filter.strip_prefix("until=").or_else(|| filter.strip_prefix("unused-for="));
            match until.map(|text| text.strip_prefix('=').unwrap_or(text)) {
                None => parsed.server.push(filter.clone()),
                Some(text) if parsed.unused_for.is_none() => parsed.unused_for = Some(text.to_owned()),
                Some(_) => return Err(Failure::usage("the filter until can be given once only")),
            }
        }
        parsed.unused_for()?;
        Ok(parsed)
    }

    /// Nanoseconds; 0 if the filter is not given.
    pub fn unused_for(&self) -> Result<i64, Failure> {
        self.unused_for.as_deref().map_or(Ok(0), |text| duration("--filter until", text))
    }
}

/// Nanoseconds, as the wire has them.
pub fn duration(option: &str, text: &str) -> Result<i64, Failure> {
    let duration = format::parse_duration(text).ok_or_else(|| {
        Failure::usage(format!("{option} {text:?} is not a duration: write for example 24h"))
    })?;
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
