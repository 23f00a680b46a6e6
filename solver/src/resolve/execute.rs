//! Running an operation, at most once for all who need the same.

use std::sync::Arc;

use futures::future::try_join_all;

use super::Attempt;
use crate::Value;
use crate::call::{call, failed};
use crate::context::OpContext;
use crate::error::{Contract, Error, Result};
use crate::flight::Flight;
use crate::interest::Stop;
use crate::keys::{KeyId, Seen};
use crate::load::Outcome;
use crate::memo::abortable;
use crate::trace::Answer;

impl<V: Value> Attempt<V> {
    pub(super) async fn join_or_lead(&self, names: &[Vec<Seen>]) -> Result<Arc<Flight<V>>> {
        let map = self.cache_map(0).await?;
        let key = KeyId::derived(map.digest, None, &primary(names));
        self.node.course.lock().answer = Answer::Joined;
        Ok(self.node.board.join_or_lead(&key, &self.node))
    }

    pub(super) async fn execute(
        self: &Arc<Self>,
        flight: Arc<Flight<V>>,
        output: usize,
        inputs: Vec<Outcome<V>>,
        names: Vec<Vec<Seen>>,
    ) -> Result<Outcome<V>> {
        let held = flight.interest.hold();
        let values = flight.values.get(&held.stop, |stop| {
            let inputs = inputs.iter().map(|input| input.value.clone()).collect();
            self.clone().fly(flight.clone(), stop, inputs)
        });
        let values = values.await?;
        let value = values.get(output).ok_or_else(|| {
            let outputs = values.len();
            failed(&self.node.vertex, Contract::Output { output, outputs }.into())
        })?;
        let saved = flight.saved.of(output);
        let saved = saved.get(&held.stop, |stop| {
            let (this, value, names) = (self.clone(), value.clone(), names.clone());
            let fresh = flight.fresh;
            async move { this.until(stop).save(output, value, fresh, &names).await }
        });
        saved.await
    }

    /// The execution itself. Waiting for it to be possible can be dropped half-way, running cannot:
    /// the operation sees the stop signal and cleans up.
    async fn fly(self: Arc<Self>, flight: Arc<Flight<V>>, stop: Stop, inputs: Vec<V>) -> Result<Vec<V>> {
        let (vertex, token) = (&self.node.vertex, stop.token.clone());
        self.until(stop).make_inputs_real().await?;
        let ctx = OpContext { stop: token.clone(), node: self.node.clone(), flight: Some(flight.clone()) };
        let permit = abortable(&token, call(vertex, &token, vertex.op.acquire(&ctx))).await;
        if let Err(Error::Cancelled) = permit {
            return Err(Error::Cancelled); // never begun
        }
        self.node.course.lock().answer = Answer::Ran;
        flight.journal.began(false);
        let values = match permit {
            Ok(_permit) => call(vertex, &token, vertex.op.exec(&ctx, inputs)).await,
            Err(error) => Err(error),
        };
        flight.journal.ended(false, values.as_ref().err().map(Error::reason));
        values
    }

    /// Also where nobody asks what is in them.
    async fn make_inputs_real(&self) -> Result<()> {
        let map = self.cache_map(0).await?;
        try_join_all((0..map.inputs.len()).map(|input| self.prepare(&map, input))).await?;
        Ok(())
    }
}

/// The most telling name of each input.
pub(super) fn primary(names: &[Vec<Seen>]) -> Vec<Seen> {
    names.iter().filter_map(|names| names.first().copied()).collect()
}
