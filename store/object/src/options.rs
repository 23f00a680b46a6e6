//! Options of a place, taken one by one: what a build says comes before what the daemon's environment says.

use crate::{Error, Result};

/// Where options come from.
pub struct Options<'a> {
    /// Takes an option that the user gave.
    pub take: &'a mut dyn FnMut(&str) -> Option<String>,
    /// A variable of the daemon's environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Options<'_> {
    /// An option that is given and not empty.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        (self.take)(name).filter(|value| !value.is_empty())
    }

    /// An option that may be empty on purpose.
    pub(crate) fn take_text(&mut self, name: &str, default: &str) -> String {
        (self.take)(name).unwrap_or_else(|| default.to_owned())
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn take_or_variable(&mut self, name: &str, variable: &str) -> Option<String> {
        self.take(name).or_else(|| self.variable(variable))
    }

    pub(crate) fn take_bool(&mut self, name: &str) -> Result<bool> {
        match (self.take)(name).as_deref() {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(other) => Err(Error::Option(format!("{name}={other}: expected true or false"))),
        }
    }

    /// A number above zero.
    pub(crate) fn take_count(&mut self, name: &str) -> Result<Option<u32>> {
        let Some(text) = (self.take)(name) else { return Ok(None) };
        let count = text.parse().ok().filter(|count| *count > 0);
        count.map(Some).ok_or_else(|| Error::Option(format!("{name}={text}: expected a number above zero")))
    }

    /// Names separated by `;`.
    pub(crate) fn take_names(&mut self) -> Vec<String> {
        self.take_text("name", "buildkit").split(';').map(str::to_owned).collect()
    }

    /// A span of time as Go writes it.
    pub(crate) fn take_span(
        &mut self,
        name: &str,
        default: std::time::Duration,
    ) -> Result<std::time::Duration> {
        let Some(text) = self.take(name) else { return Ok(default) };
        span(&text)
            .ok_or_else(|| Error::Option(format!("{name}={text}: expected a time, as in 10m or 1h30m")))
    }
}

/// `1h30m`, `1.5s`, `300ms`; no span is negative here.
fn span(text: &str) -> Option<std::time::Duration> {
    if text == "0" {
        return Some(std::time::Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_in_go() {
        let seconds = |text| span(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("1h30m"), Some(5400.0));
        assert_eq!(seconds("1.5s"), Some(1.5));
        assert_eq!(seconds("300ms"), Some(0.3));
        assert_eq!(seconds("0"), Some(0.0));
        for bad in ["", "10", "m", "1x", "-1s", "1.2.3s"] {
            assert!(bad.is_empty() || seconds(bad).is_none(), "{bad}");
        }
    }
}
