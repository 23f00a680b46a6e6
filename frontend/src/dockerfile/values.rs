//! Values of flags and mount keys: booleans, numbers, sizes, durations, CSV.
//!
//! What is accepted, and the texts of the errors, are those of Go's standard library, in which the
//! reference is written.

use super::Fault;
use slipway_model::quote::quoted_bytes;

/// The fields of one CSV line. Errors are texts.
pub(crate) fn csv_fields(line: &str) -> Result<Vec<String>, String> {
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err("EOF".to_owned());
    }
    let error = |at: usize, problem: &str| format!("parse error on line 1, column {}: {problem}", at + 1);
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let (field, end) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if let Some(quote) = rest[..end].find('"') {
                    return Err(error(at + quote, "bare \" in non-quoted-field"));
                }
                (rest[..end].to_owned(), at + end)
            }
            Some(quoted) => {
                let (field, length) = csv_quoted(quoted)
                    .map_err(|offset| error(at + 1 + offset, "extraneous or missing \" in quoted-field"))?;
                (field, at + 1 + length)
            }
        };
        fields.push(field);
        if end == line.len() {
            return Ok(fields);
        }
        at = end + 1;
    }
}

/// The field, and its length with the closing quote; or where it goes wrong.
fn csv_quoted(text: &str) -> Result<(String, usize), usize> {
    let mut field = String::new();
    let mut at = 0;
    loop {
        let quote = text[at..].find('"').ok_or(at)?;
        field.push_str(&text[at..at + quote]);
        at += quote + 1;
        match text.as_bytes().get(at) {
            None | Some(b',') => return Ok((field, at)),
            Some(b'"') => {
                field.push('"');
                at += 1;
            }
            Some(_) => return Err(at - 1),
        }
    }
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Digits only, without a sign.
pub(super) fn parse_unsigned(text: &str, radix: u32) -> Option<u32> {
    if text.starts_with('+') { None } else { u32::from_str_radix(text, radix).ok() }
}

pub(super) fn parse_int32(text: &str) -> Result<i64, Fault> {
    let fault = |problem| Fault::Integer { problem, text: text.to_owned() };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault("invalid syntax"));
    }
    text.parse::<i32>().map(i64::from).map_err(|_| fault("value out of range"))
}

/// Bytes: `64m`, `1.5 GiB`; units are powers of 1024.
pub(super) fn parse_size(text: &str) -> Option<i64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' '))?;
    let (number, unit) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let number: f64 = if is_number(number) { number.parse().ok()? } else { return None };
    if number < 0.0 || !number.is_finite() {
        return None;
    }
    let unit = unit.to_ascii_lowercase();
    let exponent = match unit.as_str() {
        "" | "b" => 0,
        _ => 1 + "kmgtp".find(unit.chars().next()?)?,
    };
    if !matches!(unit.get(1..).unwrap_or_default(), "" | "b" | "ib") || unit == "bb" || unit == "bib" {
        return None;
    }
    let factor = (0..exponent).fold(1.0, |factor, _| factor * 1024.0);
    // As the reference: fractions of a byte are dropped; a size too large for 63 bits is the largest.
    #[allow(clippy::cast_possible_truncation)]
    Some((number * factor) as i64)
}

/// No `inf`, no `nan`, which Rust would take.
fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'))
}

/// Nanoseconds: `1h30m`, `1.5s`, `-2ms`, `0`.
pub fn parse_duration(text: &str) -> Result<i64, Fault> {
    let invalid = || Fault::Duration(format!("invalid duration {}", quoted_bytes(text)));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanoseconds, after) = duration_part(rest, text)?;
        total = total.checked_add(nanoseconds).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (true, _) => Ok(0i64.wrapping_sub_unsigned(total)),
        (false, total) => total.map_err(|_| invalid()),
    }
}

/// A number and its unit.
fn duration_part<'a>(rest: &'a str, text: &str) -> Result<(u64, &'a str), Fault> {
    let invalid = || Fault::Duration(format!("invalid duration {}", quoted_bytes(text)));
    let not_digit = |c: char| !c.is_ascii_digit();
    let (whole, rest) = rest.split_at(rest.find(not_digit).unwrap_or(rest.len()));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(not_digit).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let (unit, rest) =
        rest.split_at(rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len()));
    let scale: u64 = match unit {
        "" => return Err(Fault::Duration(format!("missing unit in duration {}", quoted_bytes(text)))),
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => {
            let (unit, text) = (quoted_bytes(unit), quoted_bytes(text));
            return Err(Fault::Duration(format!("unknown unit {unit} in duration {text}")));
        }
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let nanoseconds = whole.checked_mul(scale).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
    let nanoseconds = nanoseconds.checked_add(fraction_of(fraction, scale)).ok_or_else(invalid)?;
    Ok((nanoseconds, rest))
}

/// `0.<digits>` of `scale`; digits beyond what 63 bits hold are dropped, as in the reference.
fn fraction_of(digits: &str, scale: u64) -> u64 {
    let (mut numerator, mut denominator) = (0u64, 1.0f64);
    for digit in digits.bytes().map(|b| u64::from(b - b'0')) {
        match numerator.checked_mul(10).and_then(|n| n.checked_add(digit)).filter(|n| *n < 1 << 63) {
            Some(next) => numerator = next,
            None => break,
        }
        denominator *= 10.0;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    let fraction = (numerator as f64 * (scale as f64 / denominator)) as u64;
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let good = [("1", 1), ("1b", 1), ("1k", 1024), ("1.5 KiB", 1536), ("2MB", 2 << 20), ("1e3", 1000)];
        for (text, size) in good {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for text in ["", "k", "-1", "1x", "1kk", "1bb", "1kib2x", "inf", "nan", "1é", "é1é", "1 2 "] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn csv() {
        let fields = |text| csv_fields(text).map(|fields| fields.join("|"));
        assert_eq!(fields("a,b=c,").as_deref(), Ok("a|b=c|"));
        assert_eq!(fields(r#""a,b","c""d""#).as_deref(), Ok(r#"a,b|c"d"#));
        assert_eq!(fields("").unwrap_err(), "EOF");
        assert!(fields(r#"a"b"#).unwrap_err().contains("column 2: bare"));
        assert!(fields(r#""ab"#).unwrap_err().contains("extraneous or missing"));
        assert!(fields(r#""a"b"#).unwrap_err().contains("column 3: extraneous"));
    }

    #[test]
    fn numbers() {
        assert_eq!(parse_unsigned("0755", 8), Some(0o755));
        assert_eq!(parse_unsigned("+1", 10), None);
        assert_eq!(parse_int32("+3").unwrap(), 3);
        assert!(parse_int32("99999999999").unwrap_err().to_string().ends_with("value out of range"));
        assert_eq!(parse_duration("-9223372036854775808ns").unwrap(), i64::MIN);
        assert_eq!(parse_duration(".5m").unwrap(), 30_000_000_000);
    }
}
