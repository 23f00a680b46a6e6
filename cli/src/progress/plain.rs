//! Progress as lines that only ever are added: for logs and CI.
//!
//! ```text
//! #5 [build 2/3] RUN make
//! #5 WHY variable CFLAGS: -O1 → -O2
//! #5 0.310 cc -o app app.c
//! #5 DONE 1.2s
//! ```

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant, SystemTime};

use slipway_proto::control::{StatusResponse, VertexStatus, VertexWarning};
use slipway_proto::explain;

use super::state::{Change, State, Step};
use crate::format;

/// A transfer says at most so often how far it is.
const STATUS_PAUSE: Duration = Duration::from_secs(2);
/// Causes of one step that are shown; `slipway why` tells the rest.
const CAUSES: usize = 4;
/// A step that does not go on for so long has ended.
const SETTLED: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Plain {
    state: State,
    /// Steps that were named, by their place in the state.
    shown: HashMap<usize, Shown>,
    transfers: HashMap<(usize, String), Transfer>,
    /// Explained before they were named, by their digest.
    early: HashMap<String, explain::Step>,
    /// Whose lines are being added to.
    current: Option<usize>,
    text: Text,
    /// Steps that have ended, but may go on at once.
    ending: Vec<usize>,
}

/// Lines that go out together: a message may bring thousands.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn flush(&mut self) {
        eprint!("{}", self.0);
        self.0.clear();
    }
}

#[derive(Clone, Copy, Default)]
struct Shown {
    number: usize,
    /// It has said something since its last end, or has not ended yet.
    open: bool,
    cached: bool,
}

struct Transfer {
    at: Instant,
    done: bool,
}

impl Plain {
    pub fn update(&mut self, message: StatusResponse) {
        for change in self.state.update(message) {
            match change {
                Change::Step(step) => self.step(step),
                Change::Status(step, status) => self.status(step, &status),
                Change::Lines(step, lines) => {
                    for (since, line) in lines {
                        let number = self.continue_with(step);
                        self.text.line(format_args!("#{number} {:.3} {line}", since.as_secs_f64()));
                    }
                }
                Change::Warning(warning) => {
                    self.current = None;
                    self.text.line(format_args!("WARN: {}\n", warning_text(&warning)));
                }
            }
        }
        self.show_ends(self.state.latest);
        self.text.flush();
    }

    /// One line for each cause: the daemon sends this for steps that ran although something like them is known.
    pub fn explain(&mut self, explained: explain::Step) {
        let Some(index) = self.state.index(&explained.vertex).filter(|index| self.shown.contains_key(index))
        else {
            self.early.insert(explained.vertex.clone(), explained);
            return;
        };
        for cause in explained.causes.iter().take(CAUSES) {
            let open = self.shown.get(&index).is_some_and(|shown| shown.open);
            let number = self.continue_with(index);
            self.text.line(format_args!("#{number} WHY {}", cause.text));
            // What is said of a step that has ended leaves it ended.
            if let Some(shown) = self.shown.get_mut(&index) {
                shown.open = open;
            }
        }
    }

    /// Time has passed, and nothing was told.
    pub fn tick(&mut self) {
        self.show_ends(Some(SystemTime::now()));
        self.text.flush();
    }

    pub fn finish(mut self) -> State {
        self.show_ends(None);
        self.text.flush();
        self.state
    }

    /// A step runs in several pieces (named, looked up, run), each with its own start and end; the end of one
    /// that goes on at once is not shown.
    fn step(&mut self, index: usize) {
        let step = &self.state.steps[index];
        if step.started.is_none() && !step.cached {
            return;
        }
        if !self.shown.contains_key(&index) {
            self.continue_with(index);
            if let Some(explained) = self.state.digest(index).and_then(|digest| self.early.remove(digest)) {
                self.explain(explained);
            }
        }
        let ended = self.state.steps[index].completed.is_some();
        self.ending.retain(|ending| *ending != index);
        if ended {
            self.ending.push(index);
        }
    }

    /// Shows the ends of steps that have not gone on by `now`; without a time, of all.
    fn show_ends(&mut self, now: Option<SystemTime>) {
        let settled = |step: &Step| match (step.completed, now) {
            (Some(completed), Some(now)) => {
                step.failed() || now.duration_since(completed).is_ok_and(|since| since >= SETTLED)
            }
            _ => true,
        };
        let steps = &self.state.steps;
        let (ends, ending) = self.ending.iter().partition(|index| settled(&steps[**index]));
        self.ending = ending;
        let ends: Vec<usize> = ends;
        ends.into_iter().for_each(|index| self.show_end(index));
    }

    fn show_end(&mut self, index: usize) {
        let step = &self.state.steps[index];
        let Some(shown) = self.shown.get_mut(&index) else { return };
        // A result that was in a cache may turn out to be lost there: then the step runs after all.
        let changed = step.cached != shown.cached;
        if !shown.open && !changed && step.error.is_empty() {
            return;
        }
        (shown.open, shown.cached) = (false, step.cached);
        let (number, end) = (shown.number, end(step));
        self.text.line(format_args!("#{number} {end}\n"));
        self.current = None;
    }

    fn status(&mut self, index: usize, status: &VertexStatus) {
        let done = status.completed.is_some();
        let key = (index, status.id.clone());
        let due = match self.transfers.get(&key) {
            Some(transfer) if transfer.done => false,
            Some(transfer) => done || transfer.at.elapsed() >= STATUS_PAUSE,
            None => true,
        };
        if !due {
            return;
        }
        self.transfers.insert(key, Transfer { at: Instant::now(), done });
        let number = self.continue_with(index);
        // The id of a transfer says what is transferred.
        let is_more = status.id.starts_with(&status.name);
        let name = if is_more { &status.id } else { &status.name };
        let progress = match (status.current, status.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", bytes(current)),
            (current, total) => format!(" {} / {}", bytes(current), bytes(total)),
        };
        self.text.line(format_args!("#{number} {name}{progress}{}", if done { " done" } else { "" }));
    }

    /// Says which step the next line belongs to, unless that is clear; gives its number.
    fn continue_with(&mut self, index: usize) -> usize {
        let next = self.shown.len() + 1;
        let shown = self.shown.entry(index).or_insert(Shown { number: next, ..Shown::default() });
        shown.open = true;
        let number = shown.number;
        if self.current != Some(index) {
            if self.current.is_some() {
                self.text.line(format_args!(""));
            }
            self.text.line(format_args!("#{number} {}", self.state.steps[index].name));
            self.current = Some(index);
        }
        number
    }
}

fn end(step: &Step) -> String {
    if step.is_cancelled() {
        "CANCELED".into()
    } else if step.failed() {
        format!("ERROR: {}", step.error)
    } else if step.cached {
        "CACHED".into()
    } else {
        format!("DONE {}", format::seconds(step.duration()))
    }
}

/// What is wrong, and in which line, unless the text says it already.
pub(super) fn warning_text(warning: &VertexWarning) -> String {
    let text = String::from_utf8_lossy(&warning.short).into_owned();
    let line = warning.ranges.first().and_then(|range| range.start).map(|start| start.line);
    match line {
        Some(line) if !text.ends_with(&format!("(line {line})")) => format!("{text} (line {line})"),
        _ => text,
    }
}

fn bytes(count: i64) -> String {
    format::size(u64::try_from(count).unwrap_or(0))
}
