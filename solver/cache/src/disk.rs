//! The record store over the metadata database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use slipway_solver::{
    Failure, KeyGraph, KeyId, Link, OpContext, Record, RecordId, RecordSource, RecordStore, Value,
};
use slipway_store::metadata::{Mark, Metadata};

use crate::error::{Gone, Result};
use crate::results::{LoadError, ResultStore};
use crate::tables::{self, RecordRow};
use crate::used::Used;

pub struct DiskRecords<V> {
    metadata: Metadata,
    results: Arc<dyn ResultStore<V>>,
    known: RwLock<Known>,
    used: Mutex<Used>,
    next: AtomicI64,
    /// Up to here, all of memory is in the database, unless a transaction was given up since.
    written: Mutex<Mark>,
    /// A write has failed.
    differs: AtomicBool,
}

/// All that the tables hold.
#[derive(Default)]
struct Known {
    graph: KeyGraph,
    rows: HashMap<i64, Kept>,
    by_result: HashMap<String, HashSet<i64>>,
}

struct Kept {
    result: String,
    used: i64,
}

/// How much a record matters; for those who decide what to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordUse {
    pub result: String,
    pub created: SystemTime,
    pub last_used: SystemTime,
}

impl<V> DiskRecords<V> {
    /// Reads the records that `metadata` holds. Blocks.
    pub fn open(metadata: Metadata, results: Arc<dyn ResultStore<V>>) -> Result<Self> {
        metadata.migrate("cache", tables::STEPS)?;
        if let Some(durable) = metadata.recovery().drop_after {
            metadata.with(|db| tables::delete_records_after(db, durable))?;
        }
        let (known, last) = metadata.with(read)?;
        let written = Mutex::new(metadata.mark());
        let cache = Self {
            metadata,
            results,
            known: RwLock::new(known),
            used: Mutex::default(),
            next: AtomicI64::new(last + 1),
            written,
            differs: AtomicBool::new(false),
        };
        if cache.metadata.recovery().unclean {
            cache.forget_lost_results();
        }
        Ok(cache)
    }

    /// A crash may come between a result and the records that name it.
    fn forget_lost_results(&self) {
        let names: Vec<String> = self.known.read().by_result.keys().cloned().collect();
        let lost: Vec<_> = names.iter().filter(|name| !self.results.exists(name)).collect();
        lost.iter().for_each(|name| self.forget_result(name));
    }

    /// Writes what waits, and returns when all of it would survive a kill. Blocks.
    pub fn flush(&self) -> Result<()> {
        let used = self.used.lock().take();
        if !used.is_empty() {
            self.metadata.with(|db| tables::set_used(db, &used))?;
        }
        self.write_lost()?;
        Ok(self.metadata.flush()?)
    }

    /// The result called `name` was deleted: drops all records that name it. It is not released.
    pub fn forget_result(&self, name: &str) {
        let ids = self.known.read().by_result.get(name).cloned().unwrap_or_default();
        for id in ids {
            self.remove(id);
        }
    }

    /// The name of the result of `record`, if it is one of this store.
    pub fn result_of(&self, record: &RecordId) -> Option<String> {
        let id = number(record)?;
        self.known.read().rows.get(&id).map(|kept| kept.result.clone())
    }

    /// All records, for accounting.
    pub fn uses(&self) -> Vec<RecordUse> {
        let known = self.known.read();
        let of = |record: &Record| {
            let kept = known.rows.get(&number(&record.id)?)?;
            let last_used = time(kept.used);
            Some(RecordUse { result: kept.result.clone(), created: record.created, last_used })
        };
        known.graph.all_records().filter_map(of).collect()
    }

    fn touch(&self, id: i64) {
        let at = nanoseconds(SystemTime::now());
        if let Some(kept) = self.known.write().rows.get_mut(&id) {
            kept.used = at;
        }
        if self.used.lock().note(id, at) {
            self.write_used();
        }
    }

    fn write_used(&self) {
        let used = self.used.lock().take();
        if !used.is_empty() {
            self.write(|db| tables::set_used(db, &used));
        }
    }

    /// Removes a record, what led only to it, and answers with the result's name if that was its last.
    fn remove(&self, id: i64) -> Option<String> {
        let mut known = self.known.write();
        let kept = known.rows.remove(&id)?;
        let gone = known.graph.remove(&record_id(id));
        let last = known.by_result.get_mut(&kept.result).is_some_and(|ids| {
            ids.remove(&id);
            ids.is_empty()
        });
        if last {
            known.by_result.remove(&kept.result);
        }
        // Under the lock: who links to one of these keys again does so after it was deleted.
        self.write(|db| {
            tables::delete_record(db, id)?;
            tables::delete_keys(db, &gone)
        });
        last.then_some(kept.result)
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) {
        if let Err(error) = self.metadata.with(work) {
            self.differs.store(true, Ordering::SeqCst);
            tracing::warn!(%error, "the build cache cannot write its records");
        }
    }

    /// Writes all of memory again if a transaction was given up since it was written: else a record could be
    /// saved that nothing leads to.
    fn write_lost(&self) -> Result<()> {
        let mut written = self.written.lock();
        if !self.differs.swap(false, Ordering::SeqCst) && !self.metadata.has_lost_since(*written) {
            return Ok(());
        }
        // Until it has come to its end.
        self.differs.store(true, Ordering::SeqCst);
        let now = self.metadata.mark();
        self.forget_lost_results();
        let known = self.known.read();
        self.metadata.with_epoch(|db, epoch| known.write(db, epoch))?;
        *written = now;
        self.differs.store(false, Ordering::SeqCst);
        tracing::info!("records of the build cache that were lost are written again");
        Ok(())
    }

    async fn keep(&self, record: &Record, value: &V) -> Result<(), Failure> {
        let Some(id) = number(&record.id) else { return Ok(()) };
        let Some(result) = self.results.persist(value).await? else { return Ok(()) };
        self.write_lost()?;
        if self.metadata.has_lost() && !self.results.exists(&result) {
            // Lost with its row, although whoever made it still holds it.
            return Ok(());
        }
        let created = nanoseconds(record.created);
        let row = RecordRow { id, key: record.key, result, created, used: created };
        let mut known = self.known.write();
        self.metadata.with_epoch(|db, epoch| tables::insert_record(db, &row, epoch))?;
        known.add(row);
        drop(known);
        self.write_used();
        Ok(())
    }
}

#[async_trait]
impl<V: Value> RecordSource<V> for DiskRecords<V> {
    fn knows(&self, root: &KeyId) -> bool {
        self.known.read().graph.knows(root)
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.known.read().graph.follow(key, link)
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        self.known.read().graph.origins(key)
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        self.known.read().graph.records(key)
    }

    async fn load(&self, record: &Record, ctx: &OpContext<V>) -> Result<V, Failure> {
        let gone = || Gone(record.id.to_string());
        let id = number(&record.id).ok_or_else(gone)?;
        let name = self.known.read().rows.get(&id).map(|kept| kept.result.clone()).ok_or_else(gone)?;
        match self.results.load(&name, ctx).await {
            Ok(value) => {
                self.touch(id);
                Ok(value)
            }
            Err(LoadError::Gone) => {
                self.forget_result(&name);
                Err(LoadError::Gone.into())
            }
            Err(failed) => Err(failed.into()),
        }
    }
}

#[async_trait]
impl<V: Value> RecordStore<V> for DiskRecords<V> {
    fn link(&self, key: &KeyId, link: &Link, to: &KeyId) {
        let mut known = self.known.write();
        if known.graph.link(key, link, to) {
            self.write(|db| tables::insert_link(db, key, link, to));
        }
    }

    fn name(&self, key: &KeyId) -> Record {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Record { id: record_id(id), key: *key, created: SystemTime::now() }
    }

    async fn save(&self, record: &Record, value: &V) {
        if let Err(error) = self.keep(record, value).await {
            tracing::warn!(record = %record.id, %error, "a result cannot be kept in the build cache");
        }
    }

    fn forget(&self, record: &RecordId) {
        if let Some(last) = number(record).and_then(|id| self.remove(id)) {
            self.results.release(&last);
        }
    }
}

impl<V> Drop for DiskRecords<V> {
    fn drop(&mut self) {
        let used = self.used.get_mut().take();
        let written =
            self.write_lost().and_then(|()| Ok(self.metadata.with(|db| tables::set_used(db, &used))?));
        if let Err(error) = written {
            tracing::warn!(%error, "the build cache cannot write when its records were used");
        }
    }
}

/// All that is there, and the highest number of a record.
fn read(db: &Connection) -> rusqlite::Result<(Known, i64)> {
    let mut known = Known::default();
    let damaged_links = tables::for_each_link(db, |from, link, to| {
        known.graph.link(&from, &link, &to);
    })?;
    let (records, damaged) = tables::all_records(db)?;
    if damaged.len() + damaged_links.len() > 0 {
        tracing::warn!(
            records = damaged.len(),
            links = damaged_links.len(),
            "damaged rows of the build cache are removed"
        );
        damaged.iter().try_for_each(|id| tables::delete_record(db, *id).map(drop))?;
        damaged_links.iter().try_for_each(|link| tables::delete_damaged_link(db, link).map(drop))?;
    }
    let last = records.iter().map(|row| row.id).chain(damaged).max().unwrap_or(0);
    records.into_iter().for_each(|row| known.add(row));
    // What a crash, or dropped records, left leading nowhere.
    tables::delete_keys(db, &known.graph.prune_all())?;
    Ok((known, last))
}

impl Known {
    /// In place of whatever is there: what was removed since may have come back.
    fn write(&self, db: &Connection, epoch: i64) -> rusqlite::Result<()> {
        tables::delete_all(db)?;
        for (from, link, to) in self.graph.all_links() {
            tables::insert_link(db, &from, &link, &to)?;
        }
        for record in self.graph.all_records() {
            let Some((id, kept)) = number(&record.id).and_then(|id| Some((id, self.rows.get(&id)?))) else {
                continue;
            };
            let created = nanoseconds(record.created);
            let row =
                RecordRow { id, key: record.key, result: kept.result.clone(), created, used: kept.used };
            tables::insert_record(db, &row, epoch)?;
        }
        Ok(())
    }

    fn add(&mut self, row: RecordRow) {
        self.graph.add(Record { id: record_id(row.id), key: row.key, created: time(row.created) });
        self.by_result.entry(row.result.clone()).or_default().insert(row.id);
        self.rows.insert(row.id, Kept { result: row.result, used: row.used });
    }
}

const NAME: &str = "local:";

fn record_id(id: i64) -> RecordId {
    RecordId(format!("{NAME}{id}").into())
}

/// The number of one of our records; `None` for those of other sources.
fn number(id: &RecordId) -> Option<i64> {
    id.0.strip_prefix(NAME)?.parse().ok()
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn time(nanoseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}
