//! Record sources that answer late, wrongly, or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_solver::*;

use super::ledger::Ledger;
use super::ops::Made;

/// Longer than anything else takes: the patience of a client with a registry that does not answer.
const NO_ANSWER: u64 = 2000;

pub(crate) struct Unreliable {
    pub(crate) records: Arc<MemoryRecords<Made>>,
    pub(crate) ledger: Ledger,
    /// Decides which records do not load; `None`: all do.
    pub(crate) unlucky: Option<u64>,
    /// What was ever saved.
    pub(crate) saved: Arc<Mutex<Vec<(Record, Made)>>>,
}

#[async_trait]
impl RecordSource<Made> for Unreliable {
    fn knows(&self, root: &KeyId) -> bool {
        self.records.knows(root)
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.records.follow(key, link)
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        self.records.origins(key)
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        self.records.records(key)
    }

    async fn load(&self, record: &Record, ctx: &OpContext<Made>) -> Result<Made, Failure> {
        let _loading = self.ledger.load_begins();
        self.ledger.pause().await;
        self.ledger.say(|| format!("{} is loaded for {}", record.id, ctx.name()));
        let luck = self.unlucky.map(|unlucky| Digest::of(format!("{unlucky} {}", record.id)).as_bytes()[0]);
        match luck {
            Some(0..30) => Err("a blob is missing".into()),
            Some(30..40) => std::panic::resume_unwind(Box::new("a source that panics")),
            Some(40..60) => {
                self.ledger.scheduler.sleep(NO_ANSWER).await;
                Err("no answer".into())
            }
            luck => {
                self.ledger.count("loads");
                let made = self.records.load(record, ctx).await?;
                Ok(Made { lost: made.lost || matches!(luck, Some(60..100)), ..made })
            }
        }
    }
}

#[async_trait]
impl RecordStore<Made> for Unreliable {
    fn link(&self, key: &KeyId, link: &Link, to: &KeyId) {
        self.records.link(key, link, to);
    }

    fn name(&self, key: &KeyId) -> Record {
        self.records.name(key)
    }

    async fn save(&self, record: &Record, value: &Made) {
        self.ledger.pause().await;
        if value.lost {
            return; // as a store that cannot keep what it does not have
        }
        self.saved.lock().push((record.clone(), value.clone()));
        self.ledger.say(|| format!("{} is saved: {value:?}", record.id));
        self.records.save(record, value).await;
        self.ledger.pause().await;
    }

    fn forget(&self, record: &RecordId) {
        self.records.forget(record);
    }
}
