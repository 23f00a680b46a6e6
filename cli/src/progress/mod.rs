//! A build's progress, shown while it happens.
//!
//! [`state`] is what has been heard so far; [`plain`] appends lines, [`tty`] redraws a part of the
//! screen, [`json`] passes on what comes. All write to standard error.

mod json;
mod plain;
mod state;
mod tty;

use std::io::IsTerminal;

use slipway_proto::control::StatusResponse;
use slipway_proto::explain;

use crate::arguments::ProgressMode;
use state::State;

/// How a build is shown.
pub enum Display {
    Plain(plain::Plain),
    Tty(tty::Tty),
    Json(json::Json),
    /// Nothing but what is needed when the build fails.
    Quiet(State),
}

pub fn start(mode: ProgressMode) -> Display {
    match mode {
        ProgressMode::Plain => Display::Plain(plain::Plain::default()),
        ProgressMode::Tty => Display::Tty(tty::Tty::new()),
        ProgressMode::Rawjson => Display::Json(json::Json),
        ProgressMode::Quiet | ProgressMode::None => Display::Quiet(State::default()),
        ProgressMode::Auto if std::io::stderr().is_terminal() => Display::Tty(tty::Tty::new()),
        ProgressMode::Auto => Display::Plain(plain::Plain::default()),
    }
}

/// Whether this way of showing a build tells why steps ran.
pub fn explains(mode: ProgressMode) -> bool {
    match mode {
        ProgressMode::Plain => true,
        ProgressMode::Auto => !std::io::stderr().is_terminal(),
        ProgressMode::Tty | ProgressMode::Rawjson | ProgressMode::Quiet | ProgressMode::None => false,
    }
}

impl Display {
    /// Why a step ran.
    pub fn explain(&mut self, step: explain::Step) {
        if let Self::Plain(plain) = self {
            plain.explain(step);
        }
    }

    pub fn update(&mut self, message: StatusResponse) {
        match self {
            Self::Plain(plain) => plain.update(message),
            Self::Tty(tty) => tty.update(message),
            Self::Json(json) => json.update(&message),
            Self::Quiet(state) => {
                state.update(message);
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        match self {
            Self::Tty(tty) => tty.tick(),
            Self::Plain(plain) => plain.tick(),
            Self::Json(_) | Self::Quiet(_) => {}
        }
    }

    /// The build is over: the last state, then what failed.
    pub fn finish(self, success: bool) {
        let state = match self {
            Self::Plain(plain) => plain.finish(),
            Self::Tty(tty) => tty.finish(),
            Self::Json(_) => return,
            Self::Quiet(state) => state,
        };
        if !success {
            eprint!("{}", state.failure());
        }
    }
}
