//! Options for the Dockerfile frontend, under the names that all of BuildKit's clients use.

use std::collections::BTreeMap;

use super::attests;
use crate::arguments::{BuildArguments, Pull};
use crate::error::Failure;
use crate::format;

pub fn frontend(arguments: &BuildArguments) -> Result<BTreeMap<String, String>, Failure> {
    let mut attributes = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        attributes.insert(key.to_owned(), value);
    };
    if let Some(target) = &arguments.target {
        set("target", target.clone());
    }
    for argument in &arguments.build_arg {
        if let Some((key, value)) = build_argument(argument)? {
            set(&format!("build-arg:{key}"), value);
        }
    }
    for label in &arguments.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        set(&format!("label:{key}"), value.to_owned());
    }
    if !arguments.platform.is_empty() {
        set("platform", arguments.platform.join(","));
    }
    if arguments.no_cache {
        set("no-cache", String::new());
    } else if !arguments.no_cache_filter.is_empty() {
        set("no-cache", arguments.no_cache_filter.join(","));
    }
    match arguments.pull {
        Some(Pull::Always) => set("image-resolve-mode", "pull".into()),
        Some(Pull::Missing) => set("image-resolve-mode", "local".into()),
        Some(Pull::Default) | None => {}
    }
    match arguments.network.as_deref() {
        None | Some("default") => {}
        Some(mode @ ("none" | "host")) => set("force-network-mode", mode.into()),
        Some(other) => {
            return Err(Failure::usage(format!("--network {other:?}: use default, none or host")));
        }
    }
    if !arguments.add_host.is_empty() {
        let hosts = arguments.add_host.iter().map(|host| extra_host(host)).collect::<Result<Vec<_>, _>>()?;
        set("add-hosts", hosts.join(","));
    }
    if let Some(size) = &arguments.shm_size {
        let bytes = format::parse_memory(size).ok_or_else(|| {
            Failure::usage(format!("--shm-size {size:?} is not a size: write for example 64m"))
        })?;
        set("shm-size", bytes.to_string());
    }
    for (kind, spec) in attests::wanted(arguments)? {
        set(&format!("attest:{kind}"), spec);
    }
    if !arguments.ulimit.is_empty() {
        set("ulimit", arguments.ulimit.join(","));
    }
    Ok(attributes)
}

/// `KEY=VALUE`; `KEY` alone is taken from the environment and left out if it is not there.
fn build_argument(argument: &str) -> Result<Option<(String, String)>, Failure> {
    let (key, value) = match argument.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (argument, std::env::var(argument).ok()),
    };
    if key.is_empty() {
        return Err(Failure::usage(format!("--build-arg {argument:?} has no name: write KEY=VALUE")));
    }
    Ok(value.map(|value| (key.to_owned(), value)))
}

/// `HOST:IP` or `HOST=IP`, as the frontend wants it: `HOST=IP`.
fn extra_host(host: &str) -> Result<String, Failure> {
    let split = host.split_once('=').or_else(|| host.split_once(':'));
    match split {
        Some((name, ip)) if !name.is_empty() && !ip.is_empty() => {
            Ok(format!("{name}={}", ip.trim_start_matches('[').trim_end_matches(']')))
        }
        _ => Err(Failure::usage(format!("--add-host {host:?}: write HOST:IP"))),
    }
}
