//! `--lock FILE` and `--locked`: what the sources of a build come to.
//!
//! ```json
//! {
//!   "version": 1,
//!   "sources": {
//!     "docker-image://docker.io/library/alpine:latest": "sha256:…",
//!     "git://github.com/owner/name.git#v1": "9d3c…"
//!   }
//! }
//! ```
//!
//! A source that is used in several forms has a list of values. A build changes the lines of the sources that it uses
//! and leaves the others: one file may serve several targets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slipway_proto::control::InfoRequest;
use slipway_proto::control::control_client::ControlClient;
use slipway_session::provider::{LockOffer, LockedSources};
use tonic::transport::Channel;

use crate::arguments::BuildArguments;
use crate::error::Failure;

const VERSION: u32 = 1;

pub struct LockFile {
    path: PathBuf,
    /// What the daemon is offered, and what it says.
    pub offer: Arc<LockOffer>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    sources: BTreeMap<String, Values>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(BTreeSet<String>),
}

impl LockFile {
    pub fn read(arguments: &BuildArguments) -> Result<Option<Self>, Failure> {
        let Some(path) = arguments.lock.clone() else { return Ok(None) };
        let failed =
            |error: &dyn std::fmt::Display| Failure::usage(format!("--lock {}: {error}", path.display()));
        let sources = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == ErrorKind::NotFound && !arguments.locked => LockedSources::new(),
            Err(error) => return Err(failed(&error)),
        };
        let offer = LockOffer::new(path.display().to_string(), arguments.locked, sources);
        Ok(Some(Self { path, offer: Arc::new(offer) }))
    }

    /// A daemon that knows no locks would build without a word.
    pub async fn require_daemon(&self, channel: Channel) -> Result<(), Failure> {
        let info = ControlClient::new(channel).info(InfoRequest {}).await?.into_inner();
        let program = info.buildkit_version.unwrap_or_default().package;
        match program == slipway_daemon::version::PACKAGE {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "--lock: the daemon is {program}, which knows no lock files: use slipway's own"
            ))),
        }
    }

    /// Brings the file up to date after a build, unless it had to be right before.
    pub fn write(&self) -> Result<(), Failure> {
        if self.offer.locked {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(format!("cannot write {}: {error}", self.path.display()))
        };
        let used = self.offer.used().ok_or_else(|| failed(&"the daemon did not say what was used"))?;
        let sources: LockedSources = self.offer.sources.clone().into_iter().chain(used).collect();
        if sources == self.offer.sources && self.path.exists() {
            return Ok(());
        }
        let text = to_text(&sources).map_err(|error| failed(&error))?;
        // Whole or not at all.
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, text).map_err(|error| failed(&error))?;
        std::fs::rename(&beside, &self.path).map_err(|error| failed(&error))
    }
}

fn parse(text: &str) -> Result<LockedSources, String> {
    let written: Written = serde_json::from_str(text).map_err(|error| format!("not a lock file: {error}"))?;
    if written.version != VERSION {
        return Err(format!("version {} is not known, only {VERSION} is", written.version));
    }
    let values = |values| match values {
        Values::One(value) => BTreeSet::from([value]),
        Values::Several(values) => values,
    };
    Ok(written.sources.into_iter().map(|(source, several)| (source, values(several))).collect())
}

fn to_text(sources: &LockedSources) -> Result<String, serde_json::Error> {
    let values = |values: &BTreeSet<String>| match values.first() {
        Some(only) if values.len() == 1 => Values::One(only.clone()),
        _ => Values::Several(values.clone()),
    };
    let sources = sources.iter().map(|(source, several)| (source.clone(), values(several))).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&Written { version: VERSION, sources })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let sources: LockedSources = [
            ("docker-image://a:1".to_owned(), BTreeSet::from(["x".to_owned()])),
            ("docker-image://b:1".to_owned(), BTreeSet::from(["y".to_owned(), "z".to_owned()])),
        ]
        .into();
        let text = to_text(&sources).unwrap();
        assert!(text.contains("\"docker-image://a:1\": \"x\"") && text.ends_with("}\n"), "{text}");
        assert_eq!(parse(&text), Ok(sources));
        for broken in
            ["", "{}", r#"{"version": 2, "sources": {}}"#, r#"{"version": 1, "sources": {}, "x": 1}"#]
        {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
