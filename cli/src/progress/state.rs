//! What is known of a build: its steps in the order in which they were first seen to do something.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use slipway_proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};

/// Lines of a step's output that are kept for when it fails.
const KEPT_LINES: usize = 30;
/// A longer line is shown in pieces of about this many bytes.
const LONGEST_LINE: usize = 1 << 20;

#[derive(Default)]
pub struct State {
    pub steps: Vec<Step>,
    by_digest: HashMap<String, usize>,
    pub warnings: Vec<VertexWarning>,
    /// The time of the latest news.
    pub latest: Option<SystemTime>,
}

/// One vertex.
#[derive(Default)]
pub struct Step {
    pub name: String,
    pub started: Option<SystemTime>,
    pub completed: Option<SystemTime>,
    pub cached: bool,
    pub error: String,
    pub statuses: Vec<VertexStatus>,
    /// Complete lines of output, the latest last.
    pub lines: Vec<String>,
    /// The beginning of a line.
    pub partial: String,
}

/// What an update changed, for displays that append.
pub enum Change {
    Step(usize),
    Status(usize, VertexStatus),
    Lines(usize, Vec<(Duration, String)>),
    Warning(VertexWarning),
}

impl State {
    /// Changes in the order in which they make sense: a message keeps its kinds apart, and what a step has
    /// said comes before its end.
    pub fn update(&mut self, message: StatusResponse) -> Vec<Change> {
        let times = message.vertexes.iter().flat_map(|vertex| [vertex.started, vertex.completed]);
        let times = times.chain(message.logs.iter().map(|log| log.timestamp));
        let latest = times.flatten().filter_map(time).max();
        self.latest = self.latest.max(latest);
        let mut changes = Vec::new();
        let (ended, open): (Vec<_>, Vec<_>) =
            message.vertexes.into_iter().partition(|vertex| vertex.completed.is_some());
        for vertex in open {
            changes.push(Change::Step(self.vertex(vertex)));
        }
        for status in message.statuses {
            let step = self.step(&status.vertex);
            let known = &mut self.steps[step].statuses;
            match known.iter_mut().find(|known| known.id == status.id) {
                Some(known) => *known = status.clone(),
                None => known.push(status.clone()),
            }
            changes.push(Change::Status(step, status));
        }
        for log in message.logs {
            let step = self.step(&log.vertex);
            let lines = self.steps[step].append(&log);
            changes.push(Change::Lines(step, lines));
        }
        for vertex in ended {
            let step = self.vertex(vertex);
            let rest = self.steps[step].last_line();
            if !rest.is_empty() {
                changes.push(Change::Lines(step, rest));
            }
            changes.push(Change::Step(step));
        }
        for warning in message.warnings {
            self.warnings.push(warning.clone());
            changes.push(Change::Warning(warning));
        }
        changes
    }

    fn vertex(&mut self, vertex: Vertex) -> usize {
        let index = self.step(&vertex.digest);
        let step = &mut self.steps[index];
        step.name = vertex.name;
        // A step may run in several pieces: it started with the first of them.
        if let Some(started) = vertex.started.and_then(time) {
            step.started = Some(step.started.map_or(started, |known| known.min(started)));
        }
        step.completed = vertex.completed.and_then(time);
        step.cached = vertex.cached;
        step.error = vertex.error;
        index
    }

    /// The place of a step that was heard of.
    pub fn index(&self, digest: &str) -> Option<usize> {
        self.by_digest.get(digest).copied()
    }

    pub fn digest(&self, index: usize) -> Option<&str> {
        self.by_digest.iter().find(|(_, known)| **known == index).map(|(digest, _)| digest.as_str())
    }

    fn step(&mut self, digest: &str) -> usize {
        if let Some(index) = self.by_digest.get(digest) {
            return *index;
        }
        self.steps.push(Step::default());
        self.by_digest.insert(digest.to_owned(), self.steps.len() - 1);
        self.steps.len() - 1
    }

    /// The last output of the step that failed.
    pub fn failure(&self) -> String {
        let mut text = String::new();
        let failed = self.steps.iter().filter(|step| step.failed() && !step.lines.is_empty());
        for step in failed {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "------\n > {}:", step.name);
            for line in &step.lines {
                let _ = writeln!(text, "{line}");
            }
            text.push_str("------\n");
        }
        text
    }
}

impl Step {
    pub fn is_running(&self) -> bool {
        self.started.is_some() && self.completed.is_none()
    }

    pub fn is_cancelled(&self) -> bool {
        self.error.ends_with("context canceled")
    }

    pub fn failed(&self) -> bool {
        !self.error.is_empty() && !self.is_cancelled()
    }

    pub fn duration(&self) -> Duration {
        let Some(started) = self.started else { return Duration::ZERO };
        let end = self.completed.unwrap_or_else(SystemTime::now);
        end.duration_since(started).unwrap_or_default()
    }

    /// At the end: what was said last needs no end of line.
    fn last_line(&mut self) -> Vec<(Duration, String)> {
        if self.partial.is_empty() {
            return Vec::new();
        }
        self.take_in("\n", self.duration())
    }

    /// Takes in output; gives back the lines that are now complete, each with its time since the start.
    fn append(&mut self, log: &VertexLog) -> Vec<(Duration, String)> {
        let at = log.timestamp.and_then(time).unwrap_or_else(SystemTime::now);
        let since = at.duration_since(self.started.unwrap_or(at)).unwrap_or_default();
        self.take_in(&String::from_utf8_lossy(&log.msg), since)
    }

    fn take_in(&mut self, text: &str, since: Duration) -> Vec<(Duration, String)> {
        let mut complete = Vec::new();
        let mut rest = text;
        while let Some((end, after)) = rest.split_once('\n') {
            self.partial.push_str(end);
            complete.push((since, shown(&std::mem::take(&mut self.partial))));
            rest = after;
        }
        self.partial.push_str(rest);
        if self.partial.len() > LONGEST_LINE {
            complete.push((since, shown(&std::mem::take(&mut self.partial))));
        }
        let new = complete.iter().skip(complete.len().saturating_sub(KEPT_LINES));
        self.lines.extend(new.map(|(_, line)| line.clone()));
        let extra = self.lines.len().saturating_sub(KEPT_LINES);
        self.lines.drain(..extra);
        complete
    }
}

/// What a carriage return has overwritten is not shown.
fn shown(line: &str) -> String {
    line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned()
}

fn time(timestamp: prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(timestamp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(completed: bool) -> Vertex {
        let at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        Vertex {
            digest: "a".into(),
            name: "RUN".into(),
            started: at,
            completed: at.filter(|_| completed),
            ..Vertex::default()
        }
    }

    #[test]
    fn output_comes_before_the_end_and_needs_no_newline() {
        let log = VertexLog { vertex: "a".into(), msg: "one\ntwo".into(), ..VertexLog::default() };
        let message = StatusResponse {
            vertexes: vec![vertex(false), vertex(true)],
            logs: vec![log],
            ..StatusResponse::default()
        };
        let mut lines = Vec::new();
        let mut state = State::default();
        for change in state.update(message) {
            match change {
                Change::Lines(_, new) => lines.extend(new.into_iter().map(|(_, line)| line)),
                Change::Step(_) => lines.push("step".into()),
                _ => {}
            }
        }
        assert_eq!(lines, ["step", "one", "two", "step"]);
    }
}
