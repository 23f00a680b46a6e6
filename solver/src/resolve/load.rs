//! Taking a result out of a cache.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Attempt;
use super::search::Lookup;
use crate::Value;
use crate::call::{caught, unbroken};
use crate::error::{Error, Result, with_causes};
use crate::keys::KeyId;
use crate::load::{Loaded, Outcome};
use crate::memo::abortable;
use crate::phases::Phase;
use crate::progress::journal::Happening;
use crate::records::Found;
use crate::trace::Answer;

impl<V: Value> Attempt<V> {
    /// The newest record that can still be loaded. One that cannot is remembered as such.
    pub(super) async fn load_newest(&self, found: &Lookup<V>) -> Result<Option<Outcome<V>>> {
        let mut records = found.records.clone();
        records.sort_by_key(|found| (Reverse(found.record.created), found.import.is_some()));
        for record in records {
            match self.load(&record).await {
                Ok(outcome) => {
                    let mut course = self.node.course.lock();
                    course.spent.imported = record.import.is_some();
                    course.answer = Answer::Loaded(record.record);
                    drop(course);
                    return Ok(Some(outcome.also_known_as(&found.keys)));
                }
                Err(Error::Load(cause)) => {
                    self.node.course.lock().refused(with_causes(&*cause));
                    tracing::debug!(record = %record.record.id, vertex = %self.node.vertex.digest, %cause,
                        "a cached result does not load");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }

    async fn load(&self, found: &Found<V>) -> Result<Outcome<V>> {
        let load = self.node.board.load(&found.record.id);
        self.node.hold_load(load.clone());
        if let Some(failed) = load.outcome.failure() {
            return Err(failed); // tried before: nothing to show
        }
        let held = load.interest.hold();
        self.node.journal.began(true);
        let loaded = load
            .outcome
            .get(&held.stop, |stop| {
                let (this, found) = (self.until(stop), found.clone());
                async move { this.load_now(&found).await }
            })
            .await;
        match &loaded {
            Ok(_) => {
                self.node.journal.ended(true, None);
                self.node.journal.tell(Happening::Solved { cached: true });
            }
            Err(Error::Cancelled) => {}
            Err(_) => self.node.journal.ended(false, None),
        }
        loaded
    }

    async fn load_now(&self, found: &Found<V>) -> Result<Outcome<V>> {
        let (board, ctx) = (&self.node.board, self.node.context(&self.stop.token));
        let loading = self.node.enters(Phase::Load);
        let value = abortable(&self.stop.token, async {
            let loaded = match &found.import {
                Some(import) => caught(import.load(&found.record, &ctx)).await,
                None => caught(board.store.load(&found.record, &ctx)).await,
            };
            loaded.map_err(|failure| Error::Load(Arc::from(failure)))
        });
        let loaded = Loaded { record: found.record.id.clone(), imported: found.import.is_some() };
        let (value, keys) = (value.await?, vec![found.record.key]);
        let outcome = Outcome { value, keys, fresh: None, loaded: Some(loaded) };
        drop(loading);
        if found.import.is_some() {
            self.adopt(&outcome, found.record.key).await?;
        }
        Ok(outcome)
    }

    /// Keeps what was imported, and the way to it. Once for all who want it: the store would fill
    /// with copies otherwise. What is lazy a store may not be able to keep: once more, then, when it is real.
    pub(super) async fn adopt(&self, outcome: &Outcome<V>, key: KeyId) -> Result<()> {
        let adopted = async {
            self.sources.adopt_chain(&key);
            let board = &self.node.board;
            if board.store.records(&key).iter().all(|record| board.is_broken(&record.id)) {
                self.keep(outcome, key).await;
            }
            Ok(())
        };
        unbroken(&self.node.vertex, adopted).await
    }
}
