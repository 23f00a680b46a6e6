//! Running an operation, at most once for all who need the same.

use std::sync::Arc;

use super::Attempt;
use crate::Value;
use crate::call::{call, failed, unbroken};
use crate::context::OpContext;
use crate::error::{Contract, Error, Result};
use crate::flight::Flight;
use crate::interest::Stop;
use crate::keys::{KeyId, Seen};
use crate::load::{FreshRun, Outcome};
use crate::memo::abortable;
use crate::phases::Phase;
use crate::progress::journal::Happening;
use crate::trace::Answer;

impl<V: Value> Attempt<V> {
    pub(super) async fn join_or_lead(
        &self,
        inputs: &[Outcome<V>],
        names: &[Vec<Seen>],
    ) -> Result<Arc<Flight<V>>> {
        let map = self.cache_map(0).await?;
        let by_definition = inputs.iter().zip(&map.inputs).filter(|(_, rule)| rule.content.is_none());
        let fresh: Vec<FreshRun> = by_definition.filter_map(|(input, _)| input.fresh).collect();
        let key = KeyId::derived(map.digest, None, &primary(names)).on_fresh(&fresh);
        self.node.course.lock().answer = Answer::Joined;
        Ok(self.node.board.join_or_lead(&key, &self.node, !fresh.is_empty()))
    }

    /// Comes back with nothing if the execution cannot end without this vertex.
    pub(super) async fn execute(
        self: &Arc<Self>,
        flight: &Arc<Flight<V>>,
        output: usize,
        inputs: &[Outcome<V>],
        names: &[Vec<Seen>],
    ) -> Result<Option<Outcome<V>>> {
        let held = flight.interest.hold();
        let values =
            flight.values.get(&held.stop, |stop| self.clone().fly(flight.clone(), stop, inputs.to_vec()));
        let values = tokio::select! {
            biased;
            () = flight.end_of_membership(&self.node) => {
                flight.show_out(&self.node); // while it joined, perhaps
                return Ok(None);
            }
            values = values => values,
        };
        let values = values.map_err(|error| flight.failure_of(&self.node.vertex, error))?;
        let value = values.get(output).ok_or_else(|| {
            let outputs = values.len();
            failed(&self.node.vertex, Contract::Output { output, outputs }.into())
        })?;
        let saved = flight.saved.of(output);
        let saved =
            saved.get(&held.stop, |stop| {
                let (this, value, names) = (self.clone(), value.clone(), names.to_vec());
                let fresh = flight.fresh;
                async move {
                    unbroken(&this.node.vertex, this.until(stop).save(output, value, fresh, &names)).await
                }
            });
        let outcome = saved.await?;
        self.node.journal.tell(Happening::Solved { cached: false });
        Ok(Some(outcome))
    }

    /// The execution itself. Waiting for it to be possible can be dropped half-way, running cannot:
    /// the operation sees the stop signal and cleans up.
    async fn fly(
        self: Arc<Self>,
        flight: Arc<Flight<V>>,
        stop: Stop,
        inputs: Vec<Outcome<V>>,
    ) -> Result<Vec<V>> {
        let (vertex, token) = (&self.node.vertex, stop.token.clone());
        flight.run_in_the_name_of(vertex);
        let ctx = OpContext { stop: token.clone(), node: self.node.clone(), flight: Some(flight.clone()) };
        let _released = flight.permit.release_when_dropped();
        let permit = async {
            let inputs = unbroken(vertex, self.until(stop).real_inputs(&inputs)).await?;
            let _queueing = self.node.enters(Phase::Queue);
            // The job's first: waiting for the operation's keeps nobody waiting but this job.
            flight.permit.acquire(&flight).await;
            let permit = call(vertex, &token, vertex.op.acquire(&ctx)).await?;
            Ok((permit, inputs))
        };
        let permit = abortable(&token, permit).await;
        if let Err(Error::Cancelled) = permit {
            return Err(Error::Cancelled); // never begun
        }
        self.node.course.lock().answer = Answer::Ran;
        flight.journal.began(false);
        let values = match permit {
            Ok((_permit, inputs)) => {
                let _running = self.node.enters(Phase::Run);
                call(vertex, &token, vertex.op.exec(&ctx, inputs)).await
            }
            Err(error) => Err(error),
        };
        match &values {
            Err(Error::Cancelled) => flight.journal.cut_short(),
            ended => flight.journal.ended(false, ended.as_ref().err().map(Error::reason)),
        }
        values
    }
}

/// The most telling name of each input.
pub(super) fn primary(names: &[Vec<Seen>]) -> Vec<Seen> {
    names.iter().filter_map(|names| names.first().copied()).collect()
}
