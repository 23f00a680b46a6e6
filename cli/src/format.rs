//! Sizes, times and durations as people write and read them.

use std::time::Duration;

/// `1.5GB`, `64m`, `10k`, `4096`; powers of 1000 with a `B`-suffix or none, of 1024 with `iB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix("ib") {
        Some(letter) => (letter, 1024_f64),
        None => (unit.strip_suffix('b').unwrap_or(&unit), 1000.0),
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    Some((number * base.powi(power)) as u64)
}

/// A memory size: `64m` is 64 MiB, as `docker` counts.
pub fn parse_memory(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let plain = text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(&text);
    parse_size(&if plain.ends_with(|c: char| c.is_ascii_alphabetic()) {
        format!("{plain}ib")
    } else {
        plain.into()
    })
}

/// `12.3MB`: three digits, powers of 1000, as `buildctl` shows them.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 100.0 { 0 } else { 2 };
    format!("{value:.decimals$}{}", units[unit])
}

/// `24h`, `1h30m`, `90s`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut total, mut number) = (0.0, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let factor = match c {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3600.0,
            'd' => 86400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then(|| Duration::from_secs_f64(total))
}

/// How long ago that was, in the largest unit.
pub fn ago(time: Option<prost_types::Timestamp>) -> String {
    let Some(time) = time.and_then(|time| std::time::SystemTime::try_from(time).ok()) else {
        return String::new();
    };
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} seconds ago"),
        60..3600 => format!("{} minutes ago", seconds / 60),
        3600..86400 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

/// `0.3s`, `12.0s`, `75.2s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// `5 minutes ago`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("10GB"), Some(10_000_000_000));
        assert_eq!(parse_size("1.5k"), Some(1500));
        assert_eq!(parse_size("2MiB"), Some(2 << 20));
        assert_eq!(parse_memory("64m"), Some(64 << 20));
        assert_eq!(parse_memory("4096"), Some(4096));
        assert_eq!(parse_size("x"), None);
        assert_eq!(size(999), "999B");
        assert_eq!(size(1_234_567), "1.23MB");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("10"), None);
        assert_eq!(parse_duration(""), None);
    }
}
