//! History lined up with layers: each layer has exactly one line that is not marked `empty_layer`.

use std::time::SystemTime;

use slipway_model::image_config::History;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const COMMENT: &str = "buildkit.exporter.image.v0";

/// The times that what has none gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    /// Equal builds make equal images.
    #[default]
    None,
    /// Seconds since 1970; no time but the base's is later.
    Epoch(i64),
    /// When each layer was made.
    Layers(Vec<SystemTime>),
}

impl Dates {
    fn of_layer(&self, index: usize) -> Option<String> {
        match self {
            Self::Layers(layers) => OffsetDateTime::from(*layers.get(index)?).format(&Rfc3339).ok(),
            _ => None,
        }
    }
}

/// What may enter an image as a time.
#[derive(Clone, Debug, Default)]
pub struct Times<'a> {
    /// Without one nothing gets a time that has none.
    pub dates: Dates,
    /// The base image's lines keep their times.
    pub base: &'a [History],
}

/// Makes `history` tell of `layers` layers; `describe` says what made the nth.
pub fn line_up(
    mut history: Vec<History>,
    layers: usize,
    describe: impl Fn(usize) -> String,
    times: &Times<'_>,
) -> Vec<History> {
    let mut told = 0;
    for line in &mut history {
        // More lines than layers: those on top changed nothing that is here.
        line.empty_layer |= told >= layers;
        told += usize::from(!line.empty_layer);
    }
    for index in told..layers {
        let created_by = describe(index);
        history.push(History { created_by, comment: COMMENT.into(), ..History::default() });
    }
    let mut own = 0..;
    for line in history.iter_mut().filter(|line| !line.empty_layer) {
        let made = own.next().and_then(|index| times.dates.of_layer(index));
        line.created = line.created.take().or(made);
    }
    if let Dates::Epoch(epoch) = times.dates {
        let common = history.iter().zip(times.base).take_while(|(line, base)| line == base).count();
        for line in &mut history[common..] {
            line.created = Some(bounded(line.created.as_deref(), epoch));
        }
    }
    history
}

/// `created`, or `epoch` if that is earlier or there is nothing.
pub(super) fn bounded(created: Option<&str>, epoch: i64) -> String {
    let bound = at(epoch);
    match created.and_then(|text| Some((text, OffsetDateTime::parse(text, &Rfc3339).ok()?))) {
        Some((text, time)) if time <= bound => text.to_owned(),
        _ => date(epoch),
    }
}

fn at(epoch: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(epoch).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Seconds since 1970 as images have times.
pub(crate) fn date(epoch: i64) -> String {
    at(epoch).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(created_by: &str, created: Option<&str>, empty_layer: bool) -> History {
        let created = created.map(str::to_owned);
        History { created_by: created_by.into(), created, empty_layer, ..History::default() }
    }

    #[test]
    fn missing_lines_are_added_and_surplus_ones_marked() {
        let history = vec![line("FROM", None, false), line("ENV", None, true)];
        let longer = line_up(history.clone(), 2, |n| format!("RUN {n}"), &Times::default());
        assert_eq!(longer.len(), 3);
        assert_eq!((longer[2].created_by.as_str(), longer[2].comment.as_str()), ("RUN 1", COMMENT));
        assert!(longer.iter().all(|line| line.created.is_none()));
        let shorter = line_up(history, 0, |_| unreachable!(), &Times::default());
        assert!(shorter.iter().all(|line| line.empty_layer));
    }

    #[test]
    fn an_epoch_bounds_all_but_the_base() {
        let base = [line("FROM", Some("2030-01-01T00:00:00Z"), false)];
        let history = vec![
            base[0].clone(),
            line("RUN", None, false),
            line("COPY", Some("1971-01-01T00:00:00Z"), false),
        ];
        let times = Times { dates: Dates::Epoch(1_000_000_000), base: &base };
        let dated: Vec<_> =
            line_up(history, 3, |_| String::new(), &times).into_iter().map(|l| l.created.unwrap()).collect();
        assert_eq!(dated, ["2030-01-01T00:00:00Z", "2001-09-09T01:46:40Z", "1971-01-01T00:00:00Z"]);
    }

    #[test]
    fn layers_have_the_times_when_they_were_made() {
        let made = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let dates = Dates::Layers(vec![made(1), made(2)]);
        let history = vec![line("ENV", None, true), line("COPY", Some("1999-01-01T00:00:00Z"), false)];
        let dated = line_up(history, 2, |_| String::new(), &Times { dates, base: &[] });
        let dated: Vec<_> = dated.iter().map(|line| line.created.as_deref()).collect();
        assert_eq!(dated, [None, Some("1999-01-01T00:00:00Z"), Some("1970-01-01T00:00:02Z")]);
    }
}
