//! The instructions: a file for each, with its typed form and how it is read from a statement.
//!
//! | instruction | arguments are | flags |
//! |---|---|---|
//! | `ADD` `COPY` | JSON list or words | yes |
//! | `RUN` | JSON list or the rest of the line | yes |
//! | `CMD` `ENTRYPOINT` `SHELL` | JSON list or the rest of the line | none |
//! | `ENV` `LABEL` | `key=value` words, or the legacy `key rest of line` | none |
//! | `ARG` | `name[=value]` words | not checked |
//! | `EXPOSE` `FROM` | words | `FROM`: `--platform` |
//! | `VOLUME` | JSON list or words | none |
//! | `HEALTHCHECK` | a type, then as `CMD` | yes |
//! | `MAINTAINER` `STOPSIGNAL` `USER` `WORKDIR` | the rest of the line | none (`STOPSIGNAL`: not checked) |
//! | `ONBUILD` | another instruction | none |

mod add;
mod arg;
mod cache_control;
mod chmod;
mod command_line;
mod copy;
mod device;
mod env;
mod expand;
mod expose;
mod from;
mod healthcheck;
mod include;
mod label;
mod mount;
mod onbuild;
mod owner;
mod read;
mod run;
mod shell;
mod single;
mod sources;
mod volume;

pub use add::Add;
pub use arg::{Arg, Argument};
pub use cache_control::CacheControl;
pub use chmod::Chmod;
pub use command_line::{CommandLine, InlineFile};
pub use copy::Copy;
pub use device::Device;
pub use env::{Env, KeyValue};
pub use expand::Expander;
pub use expose::{Expose, PortWord};
pub use healthcheck::HealthCheck;
pub use include::Include;
pub use label::Label;
pub use mount::{Mount, MountKind, MountSharing, RawMount};
pub use onbuild::OnBuild;
pub use owner::{Owner, Ownership};
pub use run::{NetworkMode, Run, SecurityMode};
pub use shell::Shell;
pub use single::{Maintainer, StopSignal, User, Workdir};
pub use sources::{Content, Sources};
pub use volume::Volume;

pub(super) use from::read_from;
pub(super) use read::{command, instruction};

use super::flags::Kind;
use super::{Heredoc, Range};

/// All keywords, in capitals.
pub(crate) fn keywords() -> Vec<String> {
    super::arguments::KEYWORDS.iter().map(|keyword| keyword.to_uppercase()).collect()
}

/// The flags that an instruction knows; `keyword` in capitals.
pub(crate) fn flags(keyword: &str) -> &'static [(&'static str, Kind)] {
    match keyword {
        "ADD" => add::FLAGS,
        "COPY" => copy::FLAGS,
        "FROM" => from::FLAGS,
        "HEALTHCHECK" => healthcheck::FLAGS,
        "RUN" => run::FLAGS,
        _ => &[],
    }
}

/// One instruction other than `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// In the casing of the file.
    pub keyword: String,
    pub command: Command,
    /// The instruction as one line, continuations joined, without heredoc bodies: what progress
    /// names and the image history show.
    pub original: String,
    /// One for each physical line, heredoc bodies included.
    pub ranges: Vec<Range>,
    /// Comments directly above, without `#`.
    pub comments: Vec<String>,
    pub heredocs: Vec<Heredoc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Add(Add),
    Arg(Arg),
    Cmd(CommandLine),
    Copy(Copy),
    Entrypoint(CommandLine),
    Env(Env),
    Expose(Expose),
    HealthCheck(HealthCheck),
    Label(Label),
    Maintainer(Maintainer),
    OnBuild(OnBuild),
    Run(Run),
    Shell(Shell),
    StopSignal(StopSignal),
    User(User),
    Volume(Volume),
    Workdir(Workdir),
}

impl Command {
    /// The instruction's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::HealthCheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}
