//! Errors of the preparation: each names the step it happened in, as the user is to read it.

use std::fmt::Display;

use crate::protocol::Failure;

pub(crate) type Attempt<T> = Result<T, Failure>;

/// Says what was being done: `open(…).doing("open the root")?`.
pub(crate) trait Doing<T> {
    fn doing(self, step: impl Display) -> Attempt<T>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, step: impl Display) -> Attempt<T> {
        self.map_err(|error| failure(step, error))
    }
}

pub(crate) fn failure(step: impl Display, reason: impl Display) -> Failure {
    Failure { step: step.to_string(), reason: reason.to_string() }
}
