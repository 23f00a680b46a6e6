//! A build's progress, shown while it happens.
//!
//! [`state`] is what has been heard so far; [`plain`] appends lines, [`tty`] redraws a part of the
//! screen, [`json`] passes on what comes. All write to standard error.

mod json;
mod plain;
mod state;
mod tty;

use std::fs::File;
use std::io::{IsTerminal, Write};

use slipway_proto::control::StatusResponse;
use slipway_proto::explain;

use crate::arguments::ProgressMode;
use state::State;

/// A build as it is shown, and as it is written down if asked for.
pub struct Progress {
    display: Display,
    trace: Option<File>,
}

enum Display {
    Plain(plain::Plain),
    Tty(tty::Tty),
    Json(json::Json),
    /// Nothing but what is needed when the build fails.
    Quiet(State),
}

impl Progress {
    pub fn start(mode: ProgressMode) -> Self {
        Self { display: Display::start(mode), trace: None }
    }

    /// Also writes everything to `file`, one JSON object for each message.
    pub fn with_trace(self, file: Option<File>) -> Self {
        Self { trace: file, ..self }
    }

    pub fn update(&mut self, message: StatusResponse) {
        if let Some(file) = &mut self.trace
            && let Err(error) = writeln!(file, "{}", json::line(&message))
        {
            eprintln!("WARN: the trace ends here: {error}");
            self.trace = None;
        }
        self.display.update(message);
    }

    /// Whether this way of showing a build tells why steps ran.
    pub fn explains(&self) -> bool {
        matches!(self.display, Display::Plain(_))
    }

    /// Why a step ran.
    pub fn explain(&mut self, step: explain::Step) {
        if let Display::Plain(plain) = &mut self.display {
            plain.explain(step);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        match &mut self.display {
            Display::Tty(tty) => tty.tick(),
            Display::Plain(plain) => plain.tick(),
            Display::Json(_) | Display::Quiet(_) => {}
        }
    }

    /// The build is over: the last state, then what failed.
    pub fn finish(self, success: bool) {
        let state = match self.display {
            Display::Plain(plain) => plain.finish(),
            Display::Tty(tty) => tty.finish(),
            Display::Json(_) => return,
            Display::Quiet(state) => state,
        };
        if !success {
            eprint!("{}", state.failure());
        }
    }
}

impl Display {
    fn start(mode: ProgressMode) -> Self {
        match mode {
            ProgressMode::Plain => Self::Plain(plain::Plain::default()),
            ProgressMode::Tty => Self::Tty(tty::Tty::new()),
            ProgressMode::Rawjson => Self::Json(json::Json),
            ProgressMode::Quiet | ProgressMode::None => Self::Quiet(State::default()),
            ProgressMode::Auto if std::io::stderr().is_terminal() => Self::Tty(tty::Tty::new()),
            ProgressMode::Auto => Self::Plain(plain::Plain::default()),
        }
    }

    fn update(&mut self, message: StatusResponse) {
        match self {
            Self::Plain(plain) => plain.update(message),
            Self::Tty(tty) => tty.update(message),
            Self::Json(json) => json.update(&message),
            Self::Quiet(state) => {
                state.update(message);
            }
        }
    }
}
