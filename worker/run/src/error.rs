//! What can go wrong before or around a process. How a started process ended is an [`crate::Exit`].

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description is wrong in itself.
    #[error("{what}")]
    InvalidSpec { what: String },
    /// The tree or the machine refused a step of the preparation; nothing of the user's ran.
    #[error("cannot {step}: {reason}")]
    Setup { step: String, reason: String },
    /// The command itself could not be executed: missing, not executable, no interpreter.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// The stop token was pulled; every process of the step is gone.
    #[error("the step was cancelled")]
    Cancelled,
    /// The helper process could not be started or talked to.
    #[error("cannot {action} the step helper")]
    Helper {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// The helper ended without saying how the process did.
    #[error("the step helper ended unexpectedly: {how}")]
    HelperLost { how: String },
    /// No such OCI runtime.
    #[error("OCI runtime {} is not usable; install it or choose the built-in runtime", binary.display())]
    NoRuntime {
        binary: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A command that could not be executed, in the words of runc: `exec: "foo": executable file not found in $PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct NotStarted {
    pub message: String,
    /// What a shell would exit with: 127 for missing, 126 for not executable.
    pub code: i32,
}

impl NotStarted {
    /// What runc says of a command that it cannot execute, wherever that is told; `None` if it is about something
    /// else.
    pub fn in_words_of_runc(text: &str) -> Option<Self> {
        let at = text.find("exec: ").or_else(|| text.find("exec /"))?;
        let message = text.get(at..).unwrap_or_default().trim_end_matches(": unknown").to_owned();
        let missing = message.contains("not found") || message.contains("no such file");
        Some(Self { code: if missing { 127 } else { 126 }, message })
    }
}
