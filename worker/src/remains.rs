//! What is left of an operation that failed, for people who want to look at it.
//!
//! A frontend that asked for the operation may mount the trees into a container of its own and look around:
//! `buildx debug` does that. So they live as long as the error, which is as long as the job. What was being
//! written becomes a snapshot only when somebody asks for it.

use std::fmt;

use parking_lot::Mutex;
use slipway_store::Active;

use crate::{Result, Value};

pub struct Remains {
    /// Which part of the operation it was.
    pub part: Part,
    /// What it was given: for a process by mount, for file actions by input, for content the one input.
    pub inputs: Vec<Option<Value>>,
    /// What it had made by then: for a process by mount, for file actions by action.
    pub trees: Vec<Option<Remnant>>,
}

/// What of an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Process,
    /// The file action of this index.
    Action(usize),
    /// Finding out what is in the input of this index.
    Content(usize),
}

/// One tree, finished or not.
pub struct Remnant(Mutex<State>);

enum State {
    Finished(Value),
    Written(Active),
    /// It could not be finished.
    Lost,
}

impl Remnant {
    pub(crate) fn finished(value: Value) -> Self {
        Self(Mutex::new(State::Finished(value)))
    }

    pub(crate) fn written(active: Active) -> Self {
        Self(Mutex::new(State::Written(active)))
    }

    /// The tree as it was left. Blocks.
    pub fn value(&self) -> Result<Value> {
        let mut state = self.0.lock();
        let value = match std::mem::replace(&mut *state, State::Lost) {
            State::Finished(value) => value,
            State::Written(active) => Value::Snapshot(active.commit()?),
            State::Lost => {
                return Err(crate::Error::Failed("what the operation left behind is lost".into()));
            }
        };
        *state = State::Finished(value.clone());
        Ok(value)
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remains of {:?} ({} inputs, {} trees)", self.part, self.inputs.len(), self.trees.len())
    }
}
