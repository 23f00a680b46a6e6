//! Progress on a terminal: the end of the screen is drawn anew ten times a second.
//!
//! ```text
//! [+] Building 3.2s (7/9)
//!  => [internal] load build definition from Dockerfile          0.0s
//!  => CACHED [build 2/3] RUN apt-get install -y gcc             0.0s
//!  => [build 3/3] RUN make                                      2.9s
//!  => => # cc -o app app.c
//!  => [final 2/2] COPY --from=build /app /app
//! ```
//!
//! Finished steps scroll out of the drawn part when it would not fit the screen; running ones stay.

use std::io::Write;
use std::time::{Duration, Instant};

use slipway_proto::control::{StatusResponse, VertexStatus};

use super::plain::warning_text;
use super::state::{State, Step};
use crate::format;

/// Lines of output under a running step.
const LOG_LINES: usize = 5;
/// Output is shown once a step has run this long: short ones would only flicker.
const LOG_DELAY: Duration = Duration::from_millis(700);
const BAR: usize = 20;

pub struct Tty {
    state: State,
    started: Instant,
    /// Lines drawn last time, which the next drawing replaces.
    drawn: usize,
}

impl Tty {
    pub fn new() -> Self {
        Self { state: State::default(), started: Instant::now(), drawn: 0 }
    }

    pub fn update(&mut self, message: StatusResponse) {
        self.state.update(message);
    }

    pub fn tick(&mut self) {
        self.draw(false);
    }

    pub fn finish(mut self) -> State {
        self.draw(true);
        let warnings = &self.state.warnings;
        if !warnings.is_empty() {
            eprintln!("\n {} warning{} found:", warnings.len(), if warnings.len() == 1 { "" } else { "s" });
            for warning in warnings {
                eprintln!(" - {}", warning_text(warning));
            }
        }
        self.state
    }

    fn draw(&mut self, last: bool) {
        // A terminal that nobody has told its size says 0.
        let size = crossterm::terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 0);
        let (width, height) = size.unwrap_or((80, 24));
        let (width, height) = (usize::from(width).max(20), usize::from(height).max(5));
        let mut lines = vec![self.title(last)];
        for step in self.state.steps.iter().filter(|step| step.started.is_some() || step.cached) {
            lines.extend(step_lines(step, width, last));
        }
        if !last && lines.len() > height - 1 {
            lines = fitting(lines, height - 1);
        }
        let mut screen = String::new();
        if self.drawn > 0 {
            screen.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        screen.push_str("\x1b[0J");
        for line in &lines {
            screen.push_str(&line.text);
            screen.push('\n');
        }
        self.drawn = lines.len();
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone is no reason to fail a build.
        let _ = stderr.write_all(screen.as_bytes());
        let _ = stderr.flush();
    }

    fn title(&self, last: bool) -> Line {
        let shown: Vec<&Step> =
            self.state.steps.iter().filter(|step| step.started.is_some() || step.cached).collect();
        let completed = shown.iter().filter(|step| step.completed.is_some()).count();
        let failed = shown.iter().any(|step| step.failed());
        let state = if last && !failed { " FINISHED" } else { "" };
        let elapsed = format::seconds(self.started.elapsed());
        Line::fixed(format!("[+] Building {elapsed} ({completed}/{}){state}", shown.len()))
    }
}

struct Line {
    text: String,
    /// May be left out when the screen is too small.
    optional: bool,
}

impl Line {
    fn fixed(text: String) -> Self {
        Self { text, optional: false }
    }
}

fn step_lines(step: &Step, width: usize, last: bool) -> Vec<Line> {
    let (color, mark) = match step {
        step if step.failed() => ("\x1b[31m", "ERROR "),
        step if step.is_cancelled() => ("\x1b[33m", "CANCELED "),
        step if step.cached => ("\x1b[34m", "CACHED "),
        step if step.completed.is_some() => ("\x1b[34m", ""),
        _ => ("", ""),
    };
    let time = format::seconds(step.duration());
    let room = width.saturating_sub(time.len() + 6);
    let name = clip(&format!("{mark}{}", step.name), room);
    let pad = " ".repeat(room.saturating_sub(name.chars().count()));
    let reset = if color.is_empty() { "" } else { "\x1b[0m" };
    let done = step.completed.is_some();
    let mut lines = vec![Line { text: format!("{color} => {name}{pad} {time}{reset}"), optional: done }];
    if last || !step.is_running() {
        return lines;
    }
    for status in step.statuses.iter().filter(|status| status.completed.is_none()) {
        lines.push(Line { text: format!(" => => {}", clip(&transfer(status), width - 8)), optional: true });
    }
    if step.duration() >= LOG_DELAY {
        let skip = step.lines.len().saturating_sub(LOG_LINES);
        for line in &step.lines[skip..] {
            let text = format!("\x1b[2m => => # {}\x1b[0m", clip(&printable(line), width - 10));
            lines.push(Line { text, optional: true });
        }
    }
    lines
}

/// `NAME [=====>    ] 12.3MB / 45.6MB`
fn transfer(status: &VertexStatus) -> String {
    // The id of a transfer says what is transferred.
    let is_more = status.id.starts_with(&status.name);
    let name = if is_more { &status.id } else { &status.name };
    let bytes = |count: i64| format::size(u64::try_from(count).unwrap_or(0));
    if status.total <= 0 {
        return if status.current > 0 { format!("{name} {}", bytes(status.current)) } else { name.clone() };
    }
    let part = (status.current.max(0) as f64 / status.total as f64).min(1.0);
    let filled = (part * BAR as f64) as usize;
    let bar = format!("{}{}", "=".repeat(filled), " ".repeat(BAR - filled));
    format!("{name} [{bar}] {} / {}", bytes(status.current), bytes(status.total))
}

/// Leaves out finished steps and details, the oldest first, until the rest fits.
fn fitting(lines: Vec<Line>, height: usize) -> Vec<Line> {
    let mut surplus = lines.len() - height;
    let keep = |line: &Line| {
        let drop = line.optional && surplus > 0;
        surplus -= usize::from(drop);
        !drop
    };
    let mut kept: Vec<Line> = lines.into_iter().filter(keep).collect();
    kept.truncate(height);
    kept
}

fn clip(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(room.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

/// Output may hold escape sequences, which must not move our cursor.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => {
                if rest.next() == Some('[') {
                    rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => text.push_str("    "),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}
