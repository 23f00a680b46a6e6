//! History lined up with layers: each layer has exactly one line that is not marked `empty_layer`.

use slipway_model::image_config::History;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const COMMENT: &str = "buildkit.exporter.image.v0";

/// What may enter an image as a time.
#[derive(Clone, Debug, Default)]
pub struct Times<'a> {
    /// Seconds since 1970; no time but the base's is later. Without it no time is written at all.
    pub epoch: Option<i64>,
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
    if let Some(epoch) = times.epoch {
        let common = history.iter().zip(times.base).take_while(|(line, base)| line == base).count();
        for line in &mut history[common..] {
            line.created = Some(bounded(line.created.as_deref(), epoch));
        }
    }
    history
}

/// `created`, or `epoch` if that is earlier or there is nothing.
pub(super) fn bounded(created: Option<&str>, epoch: i64) -> String {
    let bound = OffsetDateTime::from_unix_timestamp(epoch).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    match created.and_then(|text| Some((text, OffsetDateTime::parse(text, &Rfc3339).ok()?))) {
        Some((text, time)) if time <= bound => text.to_owned(),
        _ => bound.format(&Rfc3339).unwrap_or_default(),
    }
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
        let times = Times { epoch: Some(1_000_000_000), base: &base };
        let dated: Vec<_> =
            line_up(history, 3, |_| String::new(), &times).into_iter().map(|l| l.created.unwrap()).collect();
        assert_eq!(dated, ["2030-01-01T00:00:00Z", "2001-09-09T01:46:40Z", "1971-01-01T00:00:00Z"]);
    }
}
