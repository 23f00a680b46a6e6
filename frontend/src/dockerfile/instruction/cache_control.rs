//! `--no-cache` and `--cache-ttl` of single instructions: extensions of the language.

use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::language::Language;
use crate::dockerfile::{Fault, values};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Run it in every build.
    pub no_cache: bool,
    /// How long a result may be used, in seconds; at least one.
    pub time_to_live: Option<i64>,
}

const FLAGS: [(&str, Kind); 2] = [("no-cache", Kind::Bool), ("cache-ttl", Kind::Text)];
const SECOND: i64 = 1_000_000_000;

/// The flags of an instruction in its language.
pub(super) fn with_flags(own: &[(&'static str, Kind)], language: Language) -> Vec<(&'static str, Kind)> {
    let own = own.iter().copied();
    if language.is_extended() { own.chain(FLAGS).collect() } else { own.collect() }
}

impl CacheControl {
    pub(super) fn read(flags: &Flags<'_>) -> Result<Self, Fault> {
        let time_to_live = match flags.given("cache-ttl") {
            None => None,
            Some(text) => match values::parse_duration(text)? / SECOND {
                seconds @ 1.. => Some(seconds),
                _ => return Err(Fault::ShortTimeToLive(text.to_owned())),
            },
        };
        Ok(Self { no_cache: flags.bool("no-cache").unwrap_or(false), time_to_live })
    }
}
