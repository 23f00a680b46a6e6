//! One job's view of its vertices.
//!
//! Two things only show from here. A vertex that starts has all it needs: inputs that nobody ever
//! looked at were found cached. And when the job is over, what is still open was cut short, unless
//! it was known to be cached, or it had a result already and what was begun was for another output that
//! some other job wanted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::journal::{Happening, Listener};
use super::{Event, Progress, VertexEvent};
use crate::error::CANCELLED;
use crate::graph::Vertex;
use crate::keys::VertexDigest;

pub(crate) struct Stream {
    progress: Arc<dyn Progress>,
    /// `None` once closed.
    vertices: Mutex<Option<Vertices>>,
}

#[derive(Default)]
struct Vertices(HashMap<VertexDigest, State>);

struct State {
    event: VertexEvent,
    /// There is a result; whether it was cached. It cannot be cut short any more.
    solved: Option<bool>,
}

/// What a stream hears of one vertex.
pub(crate) struct Channel {
    stream: Arc<Stream>,
    vertex: VertexDigest,
}

impl Stream {
    pub(crate) fn new(progress: Arc<dyn Progress>) -> Self {
        Self { progress, vertices: Mutex::new(Some(Vertices::default())) }
    }

    /// Closes open vertices; nothing is told any more.
    pub(crate) fn close(&self) {
        let mut vertices = self.vertices.lock();
        for event in vertices.take().iter_mut().flat_map(Vertices::close) {
            self.progress.tell(Event::Vertex(event));
        }
    }
}

impl Channel {
    /// Tells `stream` that its job wants `vertex`.
    pub(crate) fn announce<V>(stream: &Arc<Stream>, vertex: &Vertex<V>) -> Self {
        if let Some(vertices) = &mut *stream.vertices.lock() {
            let event = VertexEvent {
                digest: vertex.digest,
                name: vertex.name.as_str().into(),
                inputs: vertex.inputs.iter().map(|edge| edge.vertex.digest).collect(),
                group: vertex.progress_group.clone(),
                started: None,
                completed: None,
                cached: false,
                error: None,
            };
            if vertices.announce(&event) {
                stream.progress.tell(Event::Vertex(event));
            }
        }
        Self { stream: stream.clone(), vertex: vertex.digest }
    }
}

impl Listener for Channel {
    fn hear(&self, happening: &Happening) -> bool {
        let mut vertices = self.stream.vertices.lock();
        let Some(vertices) = &mut *vertices else { return false };
        let vertex = self.vertex;
        let events = match happening.clone() {
            Happening::Began { at, cached } => vertices.began(vertex, at, cached),
            Happening::Ended { at, cached, error } => vertices.ended(vertex, at, cached, error),
            Happening::Cut { at } => vertices.cut_short(vertex, at),
            Happening::Solved { cached } => vertices.solved(vertex, cached),
            Happening::Log { at, stream, data } => vec![Event::Log { vertex, at, stream, data }],
            Happening::Status { at, status } => vec![Event::Status { vertex, at, status }],
            Happening::Warning { at, warning } => vec![Event::Warning { vertex, at, warning }],
        };
        events.into_iter().for_each(|event| self.stream.progress.tell(event));
        true
    }

    fn is_gone(&self) -> bool {
        self.stream.vertices.lock().is_none()
    }
}

impl Vertices {
    /// Whether the vertex is new; a forced and an unforced one are the same to the user.
    fn announce(&mut self, event: &VertexEvent) -> bool {
        let new = !self.0.contains_key(&event.digest);
        if new {
            self.0.insert(event.digest, State { event: event.clone(), solved: None });
        }
        new
    }

    fn began(&mut self, vertex: VertexDigest, at: SystemTime, cached: bool) -> Vec<Event> {
        let mut told = Vec::new();
        if let Some(state) = self.0.get_mut(&vertex) {
            state.event = VertexEvent {
                started: Some(at),
                completed: None,
                cached,
                error: None,
                ..state.event.clone()
            };
            let event = state.event.clone();
            self.skip_inputs(&event, at, &mut told);
            told.push(Event::Vertex(event));
        }
        told
    }

    fn ended(
        &mut self,
        vertex: VertexDigest,
        at: SystemTime,
        cached: bool,
        error: Option<Arc<str>>,
    ) -> Vec<Event> {
        let Some(State { event, .. }) = self.0.get_mut(&vertex) else { return Vec::new() };
        event.completed = Some(at);
        event.cached = cached;
        event.error = error;
        vec![Event::Vertex(event.clone())]
    }

    fn cut_short(&mut self, vertex: VertexDigest, at: SystemTime) -> Vec<Event> {
        let Some(state) = self.0.get_mut(&vertex) else { return Vec::new() };
        state.cut_short(at);
        vec![Event::Vertex(state.event.clone())]
    }

    fn solved(&mut self, vertex: VertexDigest, cached: bool) -> Vec<Event> {
        let Some(State { event, solved }) = self.0.get_mut(&vertex) else { return Vec::new() };
        *solved = Some(cached);
        // A run of it was cut short, and another, forced, gave the result.
        if event.error.as_deref() != Some(CANCELLED) {
            return Vec::new();
        }
        *event = VertexEvent { cached, error: None, ..event.clone() };
        vec![Event::Vertex(event.clone())]
    }

    /// Whatever `event` needs and that was not looked at until now is cached.
    fn skip_inputs(&mut self, event: &VertexEvent, at: SystemTime, told: &mut Vec<Event>) {
        let mut todo: Vec<_> = event.inputs.to_vec();
        while let Some(input) = todo.pop() {
            let Some(State { event, solved }) = self.0.get_mut(&input) else { continue };
            if event.started.is_none() {
                *solved = Some(true);
                *event =
                    VertexEvent { started: Some(at), completed: Some(at), cached: true, ..event.clone() };
                told.push(Event::Vertex(event.clone()));
                todo.extend(event.inputs.iter());
            }
        }
    }

    fn close(&mut self) -> Vec<VertexEvent> {
        let open = |state: &&mut State| state.event.started.is_some() && state.event.completed.is_none();
        let mut closed: Vec<_> = self
            .0
            .values_mut()
            .filter(open)
            .map(|state| {
                state.cut_short(SystemTime::now());
                state.event.clone()
            })
            .collect();
        closed.sort_by_key(|event| event.started);
        closed
    }
}

impl State {
    /// What was begun has no end of its own. If it was a load, there was a record.
    fn cut_short(&mut self, at: SystemTime) {
        self.event.completed = Some(at);
        self.event.cached = self.solved.unwrap_or(self.event.cached);
        let fine = self.solved.is_some() || self.event.cached;
        self.event.error = (!fine).then(|| CANCELLED.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_model::Digest;

    /// Design point 21.
    #[test]
    fn what_is_open_at_the_end_was_cut_short_unless_it_was_cached() {
        let mut vertices = Vertices::default();
        for (name, cached) in [("cached", true), ("running", false), ("solved", false)] {
            let digest = VertexDigest(Digest::of(name));
            vertices.announce(&VertexEvent {
                digest,
                name: name.into(),
                inputs: Arc::new([]),
                group: None,
                started: None,
                completed: None,
                cached: false,
                error: None,
            });
            if name == "solved" {
                vertices.solved(digest, false);
            }
            vertices.began(digest, SystemTime::UNIX_EPOCH, cached);
        }
        let mut closed: Vec<_> = vertices.close().into_iter().map(|e| (e.name, e.error)).collect();
        closed.sort();
        assert_eq!(
            closed,
            [("cached".into(), None), ("running".into(), Some(CANCELLED.into())), ("solved".into(), None)]
        );
    }
}
