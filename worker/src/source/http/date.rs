//! Dates of HTTP (RFC 9110, section 5.6.7): one form is sent, two old ones are understood.

use time::format_description::well_known::Rfc2822;
use time::{OffsetDateTime, PrimitiveDateTime};

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, or `Sun Nov  6 08:49:37 1994`.
pub(super) fn http_date(text: &str) -> Option<OffsetDateTime> {
    // The first is an RFC 2822 date with its zone spelled GMT.
    let preferred = || OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok();
    preferred().or_else(|| rfc_850(text)).or_else(|| asctime(text))
}

fn rfc_850(text: &str) -> Option<OffsetDateTime> {
    let (_, rest) = text.split_once(", ")?;
    // Some servers say UTC and mean the same.
    let rest = rest.strip_suffix(" GMT").or_else(|| rest.strip_suffix(" UTC"))?;
    let (date, time) = rest.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let year: i32 = year.parse().ok()?;
    // Two digits mean the century that is nearer to now than the other.
    let year = if year < 69 { 2000 + year } else { 1900 + year };
    moment(year, month, day, time)
}

fn asctime(text: &str) -> Option<OffsetDateTime> {
    let mut parts = text.split_ascii_whitespace().skip(1);
    let (month, day, time, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    moment(year.parse().ok()?, month, day, time)
}

fn moment(year: i32, month: &str, day: &str, time: &str) -> Option<OffsetDateTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = MONTHS.iter().position(|name| *name == month)? + 1;
    let month = time::Month::try_from(u8::try_from(number).ok()?).ok()?;
    let date = time::Date::from_calendar_date(year, month, day.parse().ok()?).ok()?;
    let mut clock = time.split(':').map(|part| part.parse::<u8>().ok());
    let time = time::Time::from_hms(clock.next()??, clock.next()??, clock.next()??).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_are_one_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text).map(OffsetDateTime::unix_timestamp), Some(784_111_777), "{text}");
        }
        for text in
            ["", "yesterday", "Sunday, 06-Nov-94 08:49:37", "Sun Nov 31 08:49:37 1994", "a, b-c-d e GMT"]
        {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
