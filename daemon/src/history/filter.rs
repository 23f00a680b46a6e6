//! Filters of `ListenBuildHistory`.
//!
//! Each filter is a line of CSV; a record must match all fields of one of the filters. Fields are times, or
//! containerd's filters (see [`slipway_store::Filter`]).
//!
//! | field | operators | value |
//! |---|---|---|
//! | `startedAt`, `completedAt` | `>` `>=` `<` `<=` | a time (RFC 3339), or how long ago (`24h`) |
//! | `duration` | `>` `>=` `<` `<=` | `1m30s` |
//! | `ref` | containerd's | the build's name |
//! | `status` | containerd's | `running`, `completed`, `error`, `canceled` |
//! | `repository` | containerd's | `vcs:source`, or the Git repository that is the context |

use std::time::SystemTime;

use slipway_proto::control::BuildHistoryRecord;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{Error, Result};
use super::table::nanoseconds;
use crate::duration;

/// Lets records in that match any of its alternatives; without alternatives, all.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    alternatives: Vec<Alternative>,
}

#[derive(Debug)]
struct Alternative {
    times: Vec<TimeTest>,
    fields: slipway_store::Filter,
}

#[derive(Debug)]
struct TimeTest {
    field: TimeField,
    operator: Operator,
    /// Seconds since 1970; for a duration nanoseconds.
    bound: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TimeField {
    Started,
    Completed,
    Duration,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// The longer ones first: they begin with the shorter ones.
const OPERATORS: [(&str, Operator); 4] =
    [(">=", Operator::AtLeast), ("<=", Operator::AtMost), (">", Operator::Above), ("<", Operator::Below)];

impl Filter {
    pub(crate) fn parse(filters: &[String]) -> Result<Self> {
        let alternative = |filter: &String| {
            parse(filter)
                .map_err(|reason| Error::Filter { filter: filter.chars().take(200).collect(), reason })
        };
        Ok(Self { alternatives: filters.iter().map(alternative).collect::<Result<_>>()? })
    }

    pub(crate) fn matches(&self, record: &BuildHistoryRecord) -> bool {
        let all = |alternative: &Alternative| {
            alternative.times.iter().all(|test| test.matches(record))
                && alternative.fields.matches_fields(|name| field(record, name))
        };
        self.alternatives.is_empty() || self.alternatives.iter().any(all)
    }
}

impl TimeTest {
    fn matches(&self, record: &BuildHistoryRecord) -> bool {
        let started = record.created_at.map_or(0, nanoseconds);
        let completed = record.completed_at.map(nanoseconds);
        let value = match self.field {
            TimeField::Started => started / 1_000_000_000,
            TimeField::Completed => completed.unwrap_or(0) / 1_000_000_000,
            TimeField::Duration => completed.map_or(0, |completed| completed.saturating_sub(started)),
        };
        match self.operator {
            Operator::AtLeast => value >= self.bound,
            Operator::AtMost => value <= self.bound,
            Operator::Above => value > self.bound,
            Operator::Below => value < self.bound,
        }
    }
}

/// The value of a field, if the record has it.
fn field(record: &BuildHistoryRecord, name: &str) -> Option<String> {
    match name {
        "ref" => Some(record.r#ref.clone()).filter(|name| !name.is_empty()),
        "status" => Some(status(record).to_owned()),
        "repository" => repository(record),
        _ => None,
    }
}

fn status(record: &BuildHistoryRecord) -> &'static str {
    match (&record.completed_at, &record.error) {
        (None, _) => "running",
        (Some(_), None) => "completed",
        (Some(_), Some(error)) if error.message.contains("context canceled") => "canceled",
        (Some(_), Some(_)) => "error",
    }
}

fn repository(record: &BuildHistoryRecord) -> Option<String> {
    if let Some(source) = record.frontend_attrs.get("vcs:source") {
        return Some(source.clone());
    }
    let context = record.frontend_attrs.get("context")?;
    let remote = context.split('#').next().unwrap_or_default();
    let is_http = remote.starts_with("https://") || remote.starts_with("http://");
    let is_git = ["git://", "ssh://", "git@"].iter().any(|start| remote.starts_with(start));
    (is_git || is_http && remote.ends_with(".git")).then(|| remote.to_owned())
}

fn parse(filter: &str) -> std::result::Result<Alternative, String> {
    let (mut times, mut rest) = (Vec::new(), Vec::new());
    for field in csv_fields(filter)? {
        match time_test(&field)? {
            Some(test) => times.push(test),
            None => rest.push(field),
        }
    }
    let fields = slipway_store::Filter::parse_all(&[rest.join(",")]).map_err(|error| match error {
        slipway_store::Error::Filter { reason, .. } => reason,
        other => other.to_string(),
    })?;
    Ok(Alternative { times, fields })
}

fn time_test(text: &str) -> std::result::Result<Option<TimeTest>, String> {
    let parts = OPERATORS
        .iter()
        .find_map(|(sign, operator)| text.split_once(sign).map(|(name, value)| (name, *operator, value)));
    let Some((name, operator, value)) = parts else { return Ok(None) };
    let field = match name {
        "startedAt" => TimeField::Started,
        "completedAt" => TimeField::Completed,
        "duration" => TimeField::Duration,
        _ => return Ok(None),
    };
    let span = duration::parse(value);
    let bound = match (field, span) {
        (TimeField::Duration, Some(span)) => i64::try_from(span.as_nanos()).unwrap_or(i64::MAX),
        (TimeField::Duration, None) => return Err(format!("invalid duration {value:?}")),
        (_, Some(span)) => {
            let at = SystemTime::now().checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH);
            OffsetDateTime::from(at).unix_timestamp()
        }
        (_, None) => OffsetDateTime::parse(value, &Rfc3339)
            .map_err(|_| format!("invalid time {value:?}"))?
            .unix_timestamp(),
    };
    Ok(Some(TimeTest { field, operator, bound }))
}

/// The fields of one line of CSV.
fn csv_fields(line: &str) -> std::result::Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted).ok_or("a quote is not closed")?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("expected a comma at {after:?}")),
        }
    }
}

/// What is up to the closing quote, and what follows it; a quote in it is doubled.
fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Started `ago` hours ago.
    fn record(
        name: &str,
        ago: u32,
        attribute: Option<(&str, &str)>,
        minutes: Option<u64>,
    ) -> BuildHistoryRecord {
        let started = SystemTime::now() - HOUR * ago;
        BuildHistoryRecord {
            r#ref: name.into(),
            frontend_attrs: attribute.map(|(key, value)| (key.into(), value.into())).into_iter().collect(),
            created_at: Some(started.into()),
            completed_at: minutes.map(|minutes| (started + Duration::from_secs(minutes * 60)).into()),
            ..BuildHistoryRecord::default()
        }
    }

    fn found(filters: &[&str]) -> Vec<String> {
        let records = [
            record("foo123", 24, None, Some(1)),
            record("bar456", 23, Some(("context", "https://host/user/repo.git#abcdef")), None),
            record("foo789", 22, Some(("vcs:source", "testrepo")), Some(10)),
        ];
        let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let filter = Filter::parse(&filters).unwrap();
        records.iter().filter(|record| filter.matches(record)).map(|record| record.r#ref.clone()).collect()
    }

    #[test]
    fn filters_select() {
        let none: &[&str] = &[];
        for (filters, names) in [
            (&["ref==foo"][..], none),
            (&["ref~=foo"], &["foo123", "foo789"]),
            (&["repository!=testrepo"], &["foo123", "bar456"]),
            (&["repository==https://host/user/repo.git"], &["bar456"]),
            (&["repository!=testrepo,ref~=foo"], &["foo123"]),
            (&["\"repository!=testrepo\",ref~=foo"], &["foo123"]),
            (&["completedAt>22h30m"], &["foo789"]),
            (&["startedAt<=23h"], &["foo123", "bar456"]),
            (&["duration>5m"], &["foo789"]),
            (&["startedAt>=23h", "completedAt>22h"], &["bar456", "foo789"]),
            (&["startedAt>25h,ref~=foo"], &["foo123", "foo789"]),
            (&["startedAt>2020-01-01T00:00:00Z", "ref==x"], &["foo123", "bar456", "foo789"]),
            (&["status==running"], &["bar456"]),
            (&["status==completed"], &["foo123", "foo789"]),
            (&[], &["foo123", "bar456", "foo789"]),
        ] {
            assert_eq!(found(filters), names, "{filters:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["ref+foo", "duration>x", "startedAt<yesterday", "\"ref==a", "\"ref==a\"b", "ref~=("] {
            assert!(matches!(Filter::parse(&[bad.to_owned()]), Err(Error::Filter { .. })), "{bad}");
        }
    }
}
