//! Programs of the host that an OCI runtime runs at certain moments of a container's life.
//!
//! They come from the host's administrator (a CDI specification), never from an image or a build.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One program; it reads the container's state on its standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub point: HookPoint,
    pub path: PathBuf,
    /// The program's own name first.
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Seconds.
    pub timeout: Option<u32>,
}

/// When, in the words of the OCI runtime specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookPoint {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}
