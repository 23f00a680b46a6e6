//! `RUN`: a command, and what it may see and reach while it runs.

use super::cache_control::{self, CacheControl};
use super::command_line::CommandLine;
use super::device::Device;
use super::expand::Expander;
use super::mount::{Mount, RawMount};
use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub command_line: CommandLine,
    /// `--mount` as written: their variables are expanded while lowering, see [`Self::expand_mounts`].
    pub mounts: Vec<RawMount>,
    pub network: NetworkMode,
    pub security: SecurityMode,
    pub devices: Vec<Device>,
    pub cache: CacheControl,
    /// Names of the flags used, without dashes, each once, in order of first use.
    pub flags_used: Vec<String>,
}

/// `--network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    #[default]
    Default,
    None,
    Host,
}

/// `--security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityMode {
    #[default]
    Sandbox,
    Insecure,
}

pub(super) const FLAGS: &[(&str, Kind)] =
    &[("mount", Kind::Texts), ("network", Kind::Text), ("security", Kind::Text), ("device", Kind::Texts)];

impl Run {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let known = cache_control::with_flags(FLAGS, statement.language);
        let flags = Flags::parse(&statement.flags, &known)?;
        Ok(Self {
            flags_used: flags.used(),
            devices: flags
                .texts("device")
                .iter()
                .map(|text| Device::parse(text))
                .collect::<Result<_, _>>()?,
            mounts: flags
                .texts("mount")
                .into_iter()
                .map(|text| RawMount::new(text, statement.language))
                .collect::<Result<_, _>>()?,
            cache: CacheControl::read(&flags)?,
            network: network(flags.given("network"))?,
            security: security(flags.given("security"))?,
            command_line: CommandLine::from_statement(statement),
        })
    }

    /// The mounts with variables expanded and every key checked.
    pub fn expand_mounts(&self, expander: &mut Expander<'_>) -> Result<Vec<Mount>, Fault> {
        self.mounts.iter().map(|mount| mount.expand(expander)).collect()
    }
}

fn network(value: Option<&str>) -> Result<NetworkMode, Fault> {
    match value {
        None | Some("default") => Ok(NetworkMode::Default),
        Some("none") => Ok(NetworkMode::None),
        Some("host") => Ok(NetworkMode::Host),
        Some(other) => Err(Fault::NetworkMode(other.to_owned())),
    }
}

fn security(value: Option<&str>) -> Result<SecurityMode, Fault> {
    match value {
        None | Some("sandbox") => Ok(SecurityMode::Sandbox),
        Some("insecure") => Ok(SecurityMode::Insecure),
        Some(other) => Err(Fault::SecurityMode(other.to_owned())),
    }
}
