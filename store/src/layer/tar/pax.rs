//! The records of a PAX extended header (POSIX.1-2001, pax, "Extended Header"):
//! `LENGTH KEY=VALUE\n`, the length counting the whole record, itself included.

use super::entry::Time;

/// The largest extended header that is written or read; the reference has the same bound.
pub const LARGEST: usize = 1 << 20;

/// Keys of extended attributes (a convention of Jörg Schilling's star that everyone follows).
pub const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

pub fn encode(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3; // a space, an equals sign, a line feed
        let mut length = body + digits(body);
        length = body + digits(length);
        out.extend_from_slice(length.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(key);
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The records in order; `None` if `data` is malformed.
pub fn decode(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().take(8).position(|b| *b == b' ')?;
        let length = usize::try_from(decimal(&data[..space])?).ok()?;
        if length < space + 2 || length > data.len() || data[length - 1] != b'\n' {
            return None;
        }
        let record = &data[space + 1..length - 1];
        let equals = record.iter().position(|b| *b == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        data = &data[length..];
    }
    Some(records)
}

/// A number of decimal digits only.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut.
pub fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let mut seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let mut nanoseconds: u32 = padded.parse().ok()?;
    if negative && nanoseconds > 0 {
        seconds = seconds.checked_sub(1)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        for value in 0..1200 {
            let record = (b"k".to_vec(), vec![b'v'; value]);
            let bytes = encode(std::slice::from_ref(&record));
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), bytes.len());
            assert_eq!(decode(&bytes).unwrap(), [(&record.0[..], &record.1[..])]);
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in ["5 a=b\n", "99 a=b\n", "6 ab=\n6", "x a=b\n", "0 \n", " a=b\n", "5 ab\n", "6 a=bc"] {
            assert!(decode(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn times_may_be_negative_and_fractional() {
        assert_eq!(time(b"1.5"), Some(Time { seconds: 1, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-1.5"), Some(Time { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-0.25"), Some(Time { seconds: -1, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"1.2.3"), None);
        assert_eq!(time(b""), None);
    }
}
