//! What a build tells its watchers: news that is only ever added to, read by any number of clients.
//!
//! `Control.Status` may be called before the build starts or long after; every watcher gets all of it
//! from the beginning, at its own pace. It lies in the build's spool, which becomes its log in the
//! history: nothing of it stays in memory.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use slipway_model::Digest;
use slipway_proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use slipway_proto::pb;
use slipway_solver::progress::{Event, Progress, Status, VertexEvent, Warning};

use crate::explain::Course;
use crate::history::Spool;

pub(crate) struct Journal {
    spool: Arc<Spool>,
    /// Hears which vertices begin.
    course: Arc<Course>,
}

/// One thing that is told.
enum Entry {
    Vertex(Vertex),
    Status(VertexStatus),
    Log(VertexLog),
    Warning(VertexWarning),
}

impl Journal {
    pub(crate) fn new(spool: Arc<Spool>, course: Arc<Course>) -> Self {
        Self { spool, course }
    }

    fn push(&self, entry: Entry) {
        let mut news = StatusResponse::default();
        match entry {
            Entry::Vertex(vertex) => news.vertexes.push(vertex),
            Entry::Status(status) => news.statuses.push(status),
            Entry::Log(log) => news.logs.push(log),
            Entry::Warning(warning) => news.warnings.push(warning),
        }
        self.spool.push(&news);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.spool.is_closed()
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.spool.close();
    }

    /// What was told from `position` on; waits for news if there is none yet. `None`: that was all.
    pub(crate) async fn read(&self, position: &mut u64) -> Option<io::Result<StatusResponse>> {
        self.spool.read(position).await
    }

    /// A step that is not part of the graph: resolving a name, exporting.
    pub(crate) fn step(self: &Arc<Self>, name: &str) -> Step {
        let nonce = self.spool.length().to_le_bytes();
        let digest = Digest::of([name.as_bytes(), &nonce].concat()).to_string();
        let vertex = Vertex {
            digest,
            name: name.to_owned(),
            started: Some(SystemTime::now().into()),
            ..Vertex::default()
        };
        self.push(Entry::Vertex(vertex.clone()));
        Step { journal: self.clone(), vertex, open: Mutex::new(true) }
    }

    pub(crate) fn warn(&self, vertex: String, warning: WarningEntry) {
        self.push(Entry::Warning(VertexWarning {
            vertex,
            level: warning.level,
            short: warning.short,
            detail: warning.detail,
            url: warning.url,
            info: warning.info,
            ranges: warning.ranges,
        }));
    }
}

/// A warning with its place in a source file.
#[derive(Default)]
pub(crate) struct WarningEntry {
    pub level: i64,
    pub short: bytes::Bytes,
    pub detail: Vec<bytes::Bytes>,
    pub url: String,
    pub info: Option<pb::SourceInfo>,
    pub ranges: Vec<pb::Range>,
}

impl Progress for Journal {
    fn tell(&self, event: Event) {
        if let Event::Vertex(VertexEvent {
            digest, started: Some(_), completed: None, cached: false, ..
        }) = &event
        {
            self.course.began(*digest);
        }
        self.push(match event {
            Event::Vertex(vertex) => Entry::Vertex(wire_vertex(vertex)),
            Event::Status { vertex, at, status } => {
                Entry::Status(wire_status(vertex.to_string(), at, status))
            }
            Event::Log { vertex, at, stream, data } => Entry::Log(VertexLog {
                vertex: vertex.to_string(),
                timestamp: Some(at.into()),
                stream: stream.into(),
                msg: data,
            }),
            Event::Warning { vertex, warning, .. } => {
                let Warning { level, short, detail, url } = warning;
                let (info, ranges) = (None, Vec::new());
                let vertex = vertex.to_string();
                Entry::Warning(VertexWarning { vertex, level, short, detail, url, info, ranges })
            }
        });
    }
}

fn wire_vertex(event: VertexEvent) -> Vertex {
    Vertex {
        digest: event.digest.to_string(),
        inputs: event.inputs.iter().map(ToString::to_string).collect(),
        name: event.name.to_string(),
        cached: event.cached,
        started: event.started.map(Into::into),
        completed: event.completed.map(Into::into),
        error: event.error.map(|error| error.to_string()).unwrap_or_default(),
        progress_group: event.group.map(|group| pb::ProgressGroup {
            id: group.id,
            name: group.name,
            weak: group.weak,
        }),
    }
}

fn wire_status(vertex: String, at: SystemTime, status: Status) -> VertexStatus {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    VertexStatus {
        id: status.id,
        vertex,
        name: status.name,
        current: count(status.current),
        total: count(status.total),
        timestamp: Some(at.into()),
        started: status.started.map(Into::into),
        completed: status.completed.map(Into::into),
    }
}

/// A step that was begun. Dropped before [`Step::done`] or [`Step::fail`], it was cancelled.
pub(crate) struct Step {
    journal: Arc<Journal>,
    vertex: Vertex,
    open: Mutex<bool>,
}

impl Step {
    pub(crate) fn status(&self, status: Status) {
        let status = wire_status(self.vertex.digest.clone(), SystemTime::now(), status);
        self.journal.push(Entry::Status(status));
    }

    /// A line of its own for something that takes time.
    pub(crate) fn transfer(self: &Arc<Self>, name: &str) -> Transfer {
        let transfer =
            Transfer { step: self.clone(), name: name.to_owned(), started: SystemTime::now(), shown: None };
        transfer.tell(0, 0, None);
        transfer
    }

    /// Something that people should know, though the build goes on.
    pub(crate) fn warn(&self, short: String) {
        let warning = WarningEntry { level: 1, short: short.into(), ..WarningEntry::default() };
        self.journal.warn(self.vertex.digest.clone(), warning);
    }

    pub(crate) fn done(&self) {
        self.end(String::new());
    }

    pub(crate) fn fail(&self, error: &str) {
        self.end(error.to_owned());
    }

    /// Only the first end counts.
    fn end(&self, error: String) {
        let was_open = std::mem::replace(&mut *self.open.lock(), false);
        if was_open {
            let completed = Some(SystemTime::now().into());
            self.journal.push(Entry::Vertex(Vertex { completed, error, ..self.vertex.clone() }));
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end("context canceled".into());
    }
}

/// Something on its way, as a line below its step.
pub(crate) struct Transfer {
    step: Arc<Step>,
    name: String,
    started: SystemTime,
    shown: Option<Instant>,
}

impl Transfer {
    /// Shown a few times a second at most.
    pub(crate) fn at(&mut self, current: u64, total: u64) {
        const PAUSE: Duration = Duration::from_millis(150);
        if self.shown.is_none_or(|shown| shown.elapsed() >= PAUSE) {
            self.shown = Some(Instant::now());
            self.tell(current, total, None);
        }
    }

    pub(crate) fn done(self) {
        self.tell(0, 0, Some(SystemTime::now()));
    }

    fn tell(&self, current: u64, total: u64, completed: Option<SystemTime>) {
        let (id, started) = (self.name.clone(), Some(self.started));
        self.step.status(Status { id, current, total, started, completed, ..Status::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_watcher_gets_everything_and_then_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(folder.path().join("spool")));
        let journal = Arc::new(Journal::new(spool, Arc::default()));
        journal.step("resolve").done();
        let mut position = 0;
        let begun = journal.read(&mut position).await.unwrap().unwrap();
        assert!(begun.vertexes[0].completed.is_none());
        let done = journal.read(&mut position).await.unwrap().unwrap();
        assert!(done.vertexes[0].completed.is_some());
        drop(journal.step("export"));
        journal.close();
        journal.read(&mut position).await.unwrap().unwrap();
        let rest = journal.read(&mut position).await.unwrap().unwrap();
        assert_eq!(rest.vertexes[0].error, "context canceled");
        assert!(journal.read(&mut position).await.is_none());
    }
}
