//! Progress as lines that only ever are added: for logs and CI.
//!
//! ```text
//! #5 [build 2/3] RUN make
//! #5 0.310 cc -o app app.c
//! #5 DONE 1.2s
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slipway_proto::control::{StatusResponse, VertexStatus};

use super::state::{Change, State};
use crate::format;

/// A transfer says at most so often how far it is.
const STATUS_PAUSE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Plain {
    state: State,
    /// Numbers of steps, in the order in which they are first shown.
    numbers: HashMap<usize, usize>,
    ended: HashMap<usize, bool>,
    last_status: HashMap<(usize, String), (Instant, bool)>,
    last_shown: Option<usize>,
}

impl Plain {
    pub fn update(&mut self, message: StatusResponse) {
        for change in self.state.update(message) {
            match change {
                Change::Step(step) => self.step(step),
                Change::Status(step, status) => self.status(step, &status),
                Change::Lines(step, lines) => {
                    for (since, line) in lines {
                        let number = self.head(step);
                        eprintln!("#{number} {:.3} {line}", since.as_secs_f64());
                    }
                }
                Change::Warning(warning) => {
                    let text = String::from_utf8_lossy(&warning.short).into_owned();
                    let line = warning.ranges.first().and_then(|range| range.start).map(|start| start.line);
                    let place = line.map(|line| format!(" (line {line})")).unwrap_or_default();
                    eprintln!("\nWARN: {text}{place}");
                    self.last_shown = None;
                }
            }
        }
    }

    pub fn finish(self) -> State {
        self.state
    }

    fn step(&mut self, index: usize) {
        let step = &self.state.steps[index];
        if step.started.is_none() && !step.cached {
            return;
        }
        let (completed, cached) = (step.completed.is_some(), step.cached);
        let (error, duration) = (step.error.clone(), step.duration());
        if !completed {
            self.ended.remove(&index);
            self.head(index);
            return;
        }
        if self.ended.insert(index, cached) == Some(cached) {
            return;
        }
        let number = self.head(index);
        if error.ends_with("context canceled") {
            eprintln!("#{number} CANCELED");
        } else if !error.is_empty() {
            eprintln!("#{number} ERROR: {error}");
        } else if cached {
            eprintln!("#{number} CACHED");
        } else {
            eprintln!("#{number} DONE {}", format::seconds(duration));
        }
        self.last_shown = None;
        eprintln!();
    }

    fn status(&mut self, index: usize, status: &VertexStatus) {
        let done = status.completed.is_some();
        let key = (index, status.id.clone());
        let now = Instant::now();
        let due = match self.last_status.get(&key) {
            Some((_, true)) => false,
            Some((shown, false)) => done || now.duration_since(*shown) >= STATUS_PAUSE,
            None => true,
        };
        if !due {
            return;
        }
        self.last_status.insert(key, (now, done));
        let number = self.head(index);
        let name = if status.name.is_empty() { &status.id } else { &status.name };
        let progress = match (status.current, status.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", bytes(current)),
            (current, total) => format!(" {} / {}", bytes(current), bytes(total)),
        };
        eprintln!("#{number} {name}{progress}{}", if done { " done" } else { "" });
    }

    /// Says which step the next line belongs to, unless that is clear; gives its number.
    fn head(&mut self, index: usize) -> usize {
        let next = self.numbers.len() + 1;
        let first = !self.numbers.contains_key(&index);
        let number = *self.numbers.entry(index).or_insert(next);
        if self.last_shown != Some(index) {
            let step = &self.state.steps[index];
            if self.last_shown.is_some() {
                eprintln!();
            }
            eprintln!("#{number} {}{}", if first { "" } else { "... " }, step.name);
            self.last_shown = Some(index);
        }
        number
    }
}

fn bytes(count: i64) -> String {
    format::size(u64::try_from(count).unwrap_or(0))
}
