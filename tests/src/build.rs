//! One `slipway build`, spelled as a person would.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, Running};

/// Plain progress, unless another is asked for; nothing of the user's own configuration.
pub struct Build {
    command: Command,
    context: String,
    input: Option<Vec<u8>>,
    progress: &'static str,
}

impl Build {
    /// `slipway` is the command up to its subcommand.
    pub fn new(mut slipway: Command, context: &Path) -> Self {
        slipway.arg("build");
        Self { command: slipway, context: context.display().to_string(), input: None, progress: "plain" }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    #[must_use]
    pub fn tag(self, name: &str) -> Self {
        self.args(["--tag", name])
    }

    #[must_use]
    pub fn output(self, spec: impl AsRef<OsStr>) -> Self {
        self.arg("--output").arg(spec)
    }

    /// The result as files in `folder`.
    #[must_use]
    pub fn to(self, folder: &Path) -> Self {
        self.output(format!("type=local,dest={}", folder.display()))
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    #[must_use]
    pub fn progress(mut self, mode: &'static str) -> Self {
        self.progress = mode;
        self
    }

    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The whole command, to be run in another way.
    pub fn into_command(mut self) -> Command {
        self.command.args(["--progress", self.progress]).arg(&self.context);
        self.command
    }

    pub fn start(mut self) -> Running {
        let input = self.input.take();
        Running::start(self.into_command(), input)
    }

    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    #[track_caller]
    pub fn succeed(self) -> Outcome {
        self.run().succeeded()
    }
}
