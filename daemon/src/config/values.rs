//! Durations and amounts of disk as `buildkitd.toml` writes them.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// An amount of disk: bytes, or a part of the filesystem that the state directory is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSpace {
    Bytes(u64),
    /// Hundredths.
    Percent(u64),
}

impl DiskSpace {
    /// `1000`, `"512MB"` (units of 1024, as the reference counts them here), `"10%"`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            return percent.trim().parse().ok().filter(|percent| *percent <= 100).map(Self::Percent);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: f64 = number.parse().ok()?;
        let unit = unit.trim().to_ascii_lowercase();
        let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
        let power = match letter {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return None,
        };
        Some(Self::Bytes((number * 1024_f64.powi(power)) as u64))
    }
}

impl<'de> Deserialize<'de> for DiskSpace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(NumberOrText)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no amount of disk: write 1000, \"512MB\" or \"10%\""))
        })
    }
}

/// Durations in Go's form (`1h30m`, `1.5h`, `300ms`), or a number of seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit_on) = rest.split_at(end);
        let end = unit_on.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit_on.len());
        let (unit, after) = unit_on.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = deserializer.deserialize_any(NumberOrText)?;
    let wrong = || D::Error::custom(format!("{text:?} is no duration: write \"48h\" or a number of seconds"));
    parse_duration(&text).map(Some).ok_or_else(wrong)
}

/// A number counts as its digits.
struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number or a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(DiskSpace::parse("1000"), Some(DiskSpace::Bytes(1000)));
        assert_eq!(DiskSpace::parse("1.5GB"), Some(DiskSpace::Bytes(3 << 29)));
        assert_eq!(DiskSpace::parse("10%"), Some(DiskSpace::Percent(10)));
        for wrong in ["", "x", "10 apples", "-1", "101%"] {
            assert_eq!(DiskSpace::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("90"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("300ms"), Some(Duration::from_millis(300)));
        for wrong in ["", "h", "1", "1d", "-1h", "1h2"].into_iter().filter(|text| *text != "1") {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
