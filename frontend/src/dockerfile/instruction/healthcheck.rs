//! `HEALTHCHECK [flags] CMD command` and `HEALTHCHECK NONE`.

use slipway_model::image_config::Healthcheck;

use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;
use crate::dockerfile::values;

/// The config as the image will carry it: durations in nanoseconds, 0 where inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub config: Healthcheck,
    /// `CMD` in shell form.
    pub prepend_shell: bool,
}

const SHORTEST_INTERVAL: i64 = 1_000_000;

pub(super) const FLAGS: &[(&str, Kind)] = &[
    ("interval", Kind::Text),
    ("timeout", Kind::Text),
    ("start-period", Kind::Text),
    ("start-interval", Kind::Text),
    ("retries", Kind::Text),
];

impl HealthCheck {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let Some((kind, command)) = statement.arguments.words.split_first() else {
            return Err(Fault::AtLeastOneArgument("HEALTHCHECK"));
        };
        let kind = kind.to_uppercase();
        if kind == "NONE" {
            if !command.is_empty() {
                return Err(Fault::HealthcheckNoneArguments);
            }
            let config = Healthcheck { test: vec![kind], ..Healthcheck::default() };
            return Ok(Self { config, prepend_shell: false });
        }
        let flags = Flags::parse(&statement.flags, FLAGS)?;
        if kind != "CMD" {
            return Err(Fault::HealthcheckType(kind));
        }
        if command.is_empty() {
            return Err(Fault::HealthcheckWithoutCommand);
        }
        let json = statement.arguments.json;
        let mut test = vec![if json { kind } else { "CMD-SHELL".to_owned() }];
        test.extend_from_slice(command);
        let config = Healthcheck {
            test,
            interval: interval(&flags, "interval")?,
            timeout: interval(&flags, "timeout")?,
            start_period: interval(&flags, "start-period")?,
            start_interval: interval(&flags, "start-interval")?,
            retries: retries(&flags)?,
        };
        Ok(Self { config, prepend_shell: !json })
    }
}

fn interval(flags: &Flags<'_>, name: &'static str) -> Result<i64, Fault> {
    let Some(text) = flags.given(name).filter(|text| !text.is_empty()) else { return Ok(0) };
    match values::parse_duration(text)? {
        duration if duration != 0 && duration < SHORTEST_INTERVAL => Err(Fault::ShortInterval(name)),
        duration => Ok(duration),
    }
}

fn retries(flags: &Flags<'_>) -> Result<i64, Fault> {
    let Some(text) = flags.given("retries").filter(|text| !text.is_empty()) else { return Ok(0) };
    match values::parse_int32(text)? {
        retries if retries < 0 => Err(Fault::NegativeRetries(retries)),
        retries => Ok(retries),
    }
}
