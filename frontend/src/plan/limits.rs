//! Options that bound what commands may use, and the hosts they know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slipway_model::llb::pb;

use crate::dockerfile::values::csv_fields;
use crate::error::Failure;
use slipway_model::quote::quoted;

const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
const HIGHEST_CPU: u32 = 8192;

/// `host=address,…`; names are lower-cased.
pub(super) fn extra_hosts(text: &str) -> Result<Vec<pb::HostIp>, Failure> {
    let host = |field: String| {
        let lower = field.to_lowercase();
        let Some((host, address)) = lower.split_once('=') else {
            return Err(Failure::new(format!("invalid key-value pair {field}")));
        };
        let parsed: IpAddr =
            address.parse().map_err(|_| Failure::new(format!("failed to parse IP {address}")))?;
        Ok(pb::HostIp { host: host.to_owned(), ip: parsed.to_canonical().to_string() })
    };
    fields(text)?.into_iter().map(host).collect()
}

/// `name=soft[:hard],…`; -1 is no limit.
pub(super) fn ulimits(text: &str) -> Result<Vec<pb::Ulimit>, Failure> {
    fields(text)?.iter().map(|field| ulimit(field)).collect()
}

fn ulimit(field: &str) -> Result<pb::Ulimit, Failure> {
    let (name, limits) =
        field.split_once('=').ok_or_else(|| Failure::new(format!("invalid ulimit argument: {field}")))?;
    if !ULIMITS.contains(&name) {
        return Err(Failure::new(format!("invalid ulimit type: {name}")));
    }
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts[..] {
        [soft] => (parse_integer(soft)?, parse_integer(soft)?),
        [soft, hard] => {
            let hard = parse_integer(hard)?;
            (parse_integer(soft)?, hard)
        }
        _ => {
            return Err(Failure::new(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            )));
        }
    };
    let disordered = "ulimit soft limit must be less than or equal to hard limit:";
    if hard != -1 && soft == -1 {
        return Err(Failure::new(format!("{disordered} soft: -1 (unlimited), hard: {hard}")));
    }
    if hard != -1 && soft > hard {
        return Err(Failure::new(format!("{disordered} {soft} > {hard}")));
    }
    Ok(pb::Ulimit { name: name.to_owned(), soft, hard })
}

/// `None` if no limit is set.
pub(super) fn resources(raw: &BTreeMap<String, String>) -> Result<Option<pb::LinuxResources>, Failure> {
    let given = |key: &str| raw.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let number = |key: &str, unlimited: bool| {
        let Some(text) = given(key) else { return Ok(0) };
        let about = |failure: Failure| failure.context(format!("invalid {key} value: {text}"));
        let number = parse_integer(text).map_err(about)?;
        if number > 0 || (unlimited && number == -1) {
            return Ok(number);
        }
        let must = if unlimited { "must be -1 (unlimited) or > 0" } else { "must be > 0" };
        Err(about(Failure::new(must)))
    };
    let positive = |key: &str| {
        let Some(text) = given(key) else { return Ok(0) };
        let about = |failure: Failure| failure.context(format!("invalid {key} value: {text}"));
        let problem = |error: &std::num::ParseIntError| {
            Failure::new(format!("strconv.ParseUint: parsing {}: {}", quoted(text), number_problem(error)))
        };
        match text.parse::<u64>() {
            Ok(0) => Err(about(Failure::new("must be > 0"))),
            Ok(number) => Ok(number),
            Err(error) => Err(about(problem(&error))),
        }
    };
    let processors = |key: &str| {
        let text = given(key).unwrap_or_default();
        check_processors(text).map_err(|failure| failure.context(format!("invalid {key} value: {text}")))?;
        Ok::<_, Failure>(text.to_owned())
    };
    let resources = pb::LinuxResources {
        memory: number("memory", false)?,
        memory_swap: number("memswap", true)?,
        cpu_shares: positive("cpushares")?,
        cpu_period: positive("cpuperiod")?,
        cpu_quota: number("cpuquota", false)?,
        cpuset_cpus: processors("cpusetcpus")?,
        cpuset_mems: processors("cpusetmems")?,
    };
    Ok((resources != pb::LinuxResources::default()).then_some(resources))
}

/// `0-3,5`.
fn check_processors(text: &str) -> Result<(), Failure> {
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let shown = quoted(part);
        match part.split_once('-') {
            None => match part.parse::<u32>() {
                Ok(number) if number <= HIGHEST_CPU => {}
                Ok(_) => {
                    return Err(Failure::new(format!(
                        "cpuset element {shown} exceeds maximum {HIGHEST_CPU}"
                    )));
                }
                Err(_) => return Err(Failure::new(format!("invalid cpuset element {shown}"))),
            },
            Some((low, high)) => match (low.trim().parse::<u32>(), high.trim().parse::<u32>()) {
                (Ok(low), Ok(high)) if low <= high && high <= HIGHEST_CPU => {}
                (Ok(low), Ok(high)) if low <= high => {
                    return Err(Failure::new(format!("cpuset range {shown} exceeds maximum {HIGHEST_CPU}")));
                }
                _ => return Err(Failure::new(format!("invalid cpuset range {shown}"))),
            },
        }
    }
    Ok(())
}

/// Nothing is 0.
pub(super) fn integer(text: &str) -> Result<i64, Failure> {
    if text.is_empty() { Ok(0) } else { parse_integer(text) }
}

fn parse_integer(text: &str) -> Result<i64, Failure> {
    text.parse::<i64>().map_err(|error| {
        Failure::new(format!("strconv.ParseInt: parsing {}: {}", quoted(text), number_problem(&error)))
    })
}

fn number_problem(error: &std::num::ParseIntError) -> &'static str {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

fn fields(text: &str) -> Result<Vec<String>, Failure> {
    if text.is_empty() { Ok(Vec::new()) } else { csv_fields(text).map_err(Failure::new) }
}
