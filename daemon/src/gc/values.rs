//! Sizes and durations, as `buildkitd.toml` has them.
//!
//! | | forms |
//! |---|---|
//! | size | `512000000`, `"512MB"` (powers of 1024, whatever the suffix), `"15%"` of the filesystem |
//! | duration | `172800` (seconds), `"172800"`, `"48h"`, `"1h30m"` |

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Room on the disk. Zero is the same as not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSpace {
    Bytes(u64),
    /// Of the filesystem that the state directory is on.
    Percent(u64),
}

/// What a percentage of a filesystem of unknown size is.
const UNKNOWN: u64 = 2_000_000_000;

impl Default for DiskSpace {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl DiskSpace {
    pub fn is_unset(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Percent(0))
    }

    /// Bytes, on a filesystem of `total` bytes. A percentage is rounded up to whole gigabytes, as BuildKit does.
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(0) => 0,
            Self::Percent(_) if total == 0 => UNKNOWN,
            Self::Percent(percent) => {
                let share = u128::from(total) * u128::from(percent) / 100;
                u64::try_from(((share >> 30) + 1) * 1_000_000_000).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for DiskSpace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let invalid = || format!("{text:?} is no size: write for example 512000000, \"10GB\" or \"15%\"");
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(percent) = text.strip_suffix('%') {
            return percent.trim().parse().map(Self::Percent).map_err(|_| invalid());
        }
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..digits].parse().map_err(|_| invalid())?;
        let power = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            "p" | "pb" | "pib" => 5,
            _ => return Err(invalid()),
        };
        Ok(Self::Bytes((number * 1024_f64.powi(power)) as u64))
    }
}

/// A time that something may lie unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepDuration(pub Duration);

impl FromStr for KeepDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let invalid = || format!("{text:?} is no duration: write for example 172800 (seconds) or \"48h\"");
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Ok(seconds) = text.parse() {
            return Ok(Self(Duration::from_secs(seconds)));
        }
        crate::duration::parse(text).map(Self).ok_or_else(invalid)
    }
}

impl<'de> Deserialize<'de> for DiskSpace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText(Self::Bytes))
    }
}

impl<'de> Deserialize<'de> for KeepDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText(|seconds| Self(Duration::from_secs(seconds))))
    }
}

/// A number, which the field turns into a value, or a text that is parsed.
struct NumberOrText<T>(fn(u64) -> T);

impl<T: FromStr<Err = String>> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok((self.0)(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let number = u64::try_from(number).map_err(|_| E::custom(format!("{number} is negative")))?;
        Ok((self.0)(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_or_shares() {
        let size = |text: &str| text.parse::<DiskSpace>().unwrap();
        assert_eq!(size("512"), DiskSpace::Bytes(512));
        assert_eq!(size("10GB"), DiskSpace::Bytes(10 << 30));
        assert_eq!(size("1.5 KiB"), DiskSpace::Bytes(1536));
        assert_eq!(size("15%"), DiskSpace::Percent(15));
        assert_eq!(size("").bytes(1), 0);
        assert_eq!(size("10%").bytes(100 << 30), 11_000_000_000);
        assert_eq!(size("10%").bytes(0), UNKNOWN);
        for bad in ["x", "1X", "-1", "10%%", "1.2.3", "10 GB extra", "%"] {
            let error = bad.parse::<DiskSpace>().unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn durations_are_seconds_or_go_s() {
        let seconds = |text: &str| text.parse::<KeepDuration>().unwrap().0.as_secs_f64();
        assert_eq!(seconds("172800"), 172_800.0);
        assert_eq!(seconds("48h"), 172_800.0);
        assert_eq!(seconds("1h30m"), 5400.0);
        assert_eq!(seconds("1.5s"), 1.5);
        assert_eq!(seconds("250ms"), 0.25);
        for bad in ["ages", "48x", "h", "-1h", "1h30", "1..5h"] {
            assert!(bad.parse::<KeepDuration>().is_err(), "{bad:?}");
        }
    }
}
