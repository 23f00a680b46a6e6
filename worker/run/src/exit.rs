//! How a process ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The end of a process that was started. One that was not is an [`crate::Error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub status: Status,
    /// The kernel killed a process of the step for want of memory; known where the step has a memory group.
    pub out_of_memory: Option<OutOfMemory>,
    pub usage: Usage,
}

/// Whose memory was at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutOfMemory {
    /// The step's own: it reached the limit that it was given, in bytes.
    Step { limit: u64 },
    /// That of a group above the step's, or of the whole machine.
    Above,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Code(i32),
    /// The number of the signal that ended it. An OCI runtime reports `Code(128 + n)` instead.
    Signal(i32),
}

/// What the process and the children it waited for have used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Bytes, of the largest single process; of all together where somebody else has run it.
    pub peak_memory: u64,
}

impl Exit {
    /// The exit code as a shell counts it: 128 + n for signal n.
    pub fn code(&self) -> i32 {
        match self.status {
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        }
    }

    pub fn success(&self) -> bool {
        self.status == Status::Code(0)
    }
}
