//! What a build tells while it runs.
//!
//! ```text
//! op --OpContext--> journal of an execution --> journal of each vertex that waits for it
//!                                               --> stream of each job that wants the vertex --> Progress
//! ```
//!
//! A [`journal`] remembers, so that whoever joins late hears what happened so far; a [`stream`] is
//! one job's view, where vertices that were never looked at turn out cached or cancelled.

pub(crate) mod journal;
pub(crate) mod stream;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::keys::VertexDigest;

/// Hears what happens in one job. Called in order, one event at a time, from whatever thread
/// works: it must be quick and must not call the solver.
pub trait Progress: Send + Sync {
    fn tell(&self, event: Event);
}

/// One thing that happened in a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A vertex was added to the job, or its state changed.
    Vertex(VertexEvent),
    Status {
        vertex: VertexDigest,
        at: SystemTime,
        status: Status,
    },
    Log {
        vertex: VertexDigest,
        at: SystemTime,
        /// 1 is standard output, 2 is standard error.
        stream: u32,
        data: Bytes,
    },
    Warning {
        vertex: VertexDigest,
        at: SystemTime,
        warning: Warning,
    },
}

/// The state of a vertex. It may start and complete several times: when its source is identified,
/// when it is loaded or run, when a cancelled run is taken up again.
#[derive(Clone, Debug, PartialEq)]
pub struct VertexEvent {
    pub digest: VertexDigest,
    pub name: Arc<str>,
    pub inputs: Arc<[VertexDigest]>,
    pub group: Option<ProgressGroup>,
    pub started: Option<SystemTime>,
    pub completed: Option<SystemTime>,
    pub cached: bool,
    /// `context canceled` for a vertex that was cut short, the words BuildKit's clients look for.
    pub error: Option<Arc<str>>,
}

/// Vertices shown under one heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressGroup {
    pub id: String,
    pub name: String,
    /// Shown alone if it is the only one of its group that runs.
    pub weak: bool,
}

/// The progress of a part of a vertex: one layer pulled, one file sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Equal ids in one vertex are one line that moves.
    pub id: String,
    pub name: String,
    /// Bytes, if `total` is; 0 if unknown.
    pub current: u64,
    pub total: u64,
    pub started: Option<SystemTime>,
    pub completed: Option<SystemTime>,
}

/// Something the user should know that fails nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warning {
    pub level: i64,
    pub short: Bytes,
    pub detail: Vec<Bytes>,
    pub url: String,
}

/// Hears nothing.
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _event: Event) {}
}
