//! One frontend's dealings with the builder, from its first question to its answer.
//!
//! The client of a build has one, and so has every frontend container of it: names that one gives to
//! references and containers mean nothing to the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_proto::pb;
use tokio::sync::Notify;

use super::containers::Containers;
use super::{Refs, Returned};
use crate::build::failure::Failure;
use crate::provenance::Inquiry;

/// Frontends may call frontends; further down than this, one calls itself.
const DEEPEST: usize = 16;

#[derive(Default)]
pub(crate) struct Conversation {
    pub refs: Refs,
    pub containers: Containers,
    /// Graphs that were handed to the frontend, by name.
    pub inputs: BTreeMap<String, pb::Definition>,
    /// What the frontend is asked and asks, for provenance.
    pub inquiry: Arc<Inquiry>,
    /// How many frontends called each other down to this one.
    depth: usize,
    answer: Mutex<Answered>,
    answered: Notify,
}

#[derive(Default)]
enum Answered {
    #[default]
    NotYet,
    Given(Box<Returned>),
    Taken,
}

impl Conversation {
    /// With a client that is the frontend itself.
    pub(crate) fn with_client(inputs: BTreeMap<String, pb::Definition>, inquiry: Arc<Inquiry>) -> Self {
        Self { inputs, inquiry, ..Self::default() }
    }

    /// With a frontend that this one has asked for.
    pub(crate) fn below(
        &self,
        inputs: BTreeMap<String, pb::Definition>,
        inquiry: Arc<Inquiry>,
    ) -> Result<Self, Failure> {
        if self.depth >= DEEPEST {
            return Err(Failure::invalid(format!("frontends call each other more than {DEEPEST} deep")));
        }
        Ok(Self { inputs, inquiry, depth: self.depth + 1, ..Self::default() })
    }

    /// A frontend answers once.
    pub(super) fn answer(&self, returned: Returned) -> Result<(), Failure> {
        let mut answer = self.answer.lock();
        if !matches!(*answer, Answered::NotYet) {
            return Err(Failure::invalid("the frontend has returned its result already"));
        }
        *answer = Answered::Given(Box::new(returned));
        drop(answer);
        self.answered.notify_one();
        Ok(())
    }

    pub(crate) fn has_answered(&self) -> bool {
        !matches!(*self.answer.lock(), Answered::NotYet)
    }

    /// What was answered; for the one who asked.
    pub(crate) fn take_answer(&self) -> Option<Returned> {
        let mut answer = self.answer.lock();
        match std::mem::replace(&mut *answer, Answered::Taken) {
            Answered::Given(returned) => Some(*returned),
            other => {
                *answer = other;
                None
            }
        }
    }

    /// Waits for the answer. One waits at most.
    pub(crate) async fn wait(&self) -> Returned {
        loop {
            if let Some(returned) = self.take_answer() {
                return returned;
            }
            self.answered.notified().await;
        }
    }

    /// Returns when there is an answer, and leaves it.
    pub(crate) async fn has_been_answered(&self) {
        while !self.has_answered() {
            self.answered.notified().await;
        }
    }
}
