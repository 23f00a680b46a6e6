//! On a full disk: what nobody uses of the build cache goes, and the operation runs once more.
//!
//! First the less valuable half of what is unused goes, then all of it; an operation that fails for want of
//! space after that has all the space there is, and its error is the build's. Builds that need none are not
//! concerned. A process that fails while not a block is free is taken to have failed for that; a
//! program that cleans up before it ends is not recognised.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_solver::{CacheMap, Failure, Op, OpContext, OpResult, Permit};
use slipway_store::{PruneOptions, Store};

use crate::blocking::blocking;
use crate::{Error, Result, Value, Worker};

/// How much of what is unused goes, try by try.
const PARTS: [Part; 2] = [Part::Half, Part::All];

#[derive(Clone, Copy)]
enum Part {
    Half,
    All,
}

/// An operation for which room is made.
pub(super) struct WithRoom {
    pub worker: Arc<Worker>,
    pub op: Arc<dyn Op<Value>>,
}

#[async_trait]
impl Op<Value> for WithRoom {
    async fn cache_map(&self, ctx: &OpContext<Value>, index: usize) -> OpResult<CacheMap<Value>> {
        for part in PARTS {
            let before = self.worker.room_made.load(Ordering::SeqCst);
            match self.op.cache_map(ctx, index).await {
                Err(failure) if self.makes_room(ctx, &failure, before, part).await => {}
                answered => return answered,
            }
        }
        self.op.cache_map(ctx, index).await
    }

    async fn acquire(&self, ctx: &OpContext<Value>) -> OpResult<Permit> {
        self.op.acquire(ctx).await
    }

    async fn exec(&self, ctx: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        // What was fetched is as good as what was always here; the rest nobody reads.
        let here = |input: Value| input.real().cloned().unwrap_or(input);
        let inputs: Vec<Value> = inputs.into_iter().map(here).collect();
        for part in PARTS {
            let before = self.worker.room_made.load(Ordering::SeqCst);
            match self.op.exec(ctx, inputs.clone()).await {
                Err(failure) if self.makes_room(ctx, &failure, before, part).await => {}
                done => return done,
            }
        }
        self.op.exec(ctx, inputs).await
    }
}

impl WithRoom {
    /// Whether `failure` is for want of space, and there is more of it now than `before`.
    async fn makes_room(&self, ctx: &OpContext<Value>, failure: &Failure, before: u64, part: Part) -> bool {
        if !is_for_want_of_space(&**failure) || ctx.stop.is_cancelled() {
            return false;
        }
        let worker = self.worker.clone();
        match blocking(move || worker.make_room(before, part)).await {
            Ok(freed) => {
                let told = "The disk is full: unused build cache was removed, and this runs once more.\n";
                if freed {
                    ctx.log(2, Bytes::from_static(told.as_bytes()));
                }
                freed
            }
            Err(error) => {
                tracing::warn!(%error, "no room could be made on a full disk");
                false
            }
        }
    }
}

impl Worker {
    /// Whether there is more room than when it had been made `before` times: of several that fail at once, one
    /// makes room for all.
    fn make_room(&self, before: u64, part: Part) -> Result<bool> {
        let _one_at_a_time = self.making_room.lock();
        if self.room_made.load(Ordering::SeqCst) != before {
            return Ok(true);
        }
        let removed = self.store.prune(&options(&self.store, part)?)?;
        let freed: u64 = removed.iter().map(|record| record.size).sum();
        tracing::warn!(freed, records = removed.len(), "the disk is full: unused build cache was removed");
        if freed > 0 {
            self.room_made.fetch_add(1, Ordering::SeqCst);
        }
        Ok(freed > 0)
    }
}

fn options(store: &Store, part: Part) -> Result<PruneOptions> {
    let all = PruneOptions { all: true, ..PruneOptions::default() };
    let Part::Half = part else { return Ok(all) };
    let usage = store.usage(&[])?;
    let total: u64 = usage.iter().map(|record| record.size).sum();
    let unused: u64 = usage.iter().filter(|record| !record.in_use).map(|record| record.size).sum();
    // Zero would mean that there is no limit.
    Ok(PruneOptions { max_used_space: (total - unused / 2).max(1), ..all })
}

/// Looks through all causes.
pub(crate) fn is_for_want_of_space(failure: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        let here = match error.downcast_ref::<Error>() {
            Some(Error::DiskFull { .. }) => true,
            // These stand for what they hold, which is not among its own causes.
            Some(Error::Store(inner)) => is_for_want_of_space(inner),
            Some(Error::Image(inner)) => is_for_want_of_space(inner),
            Some(Error::Content(inner) | Error::Checksum { source: inner, .. }) => {
                is_for_want_of_space(inner)
            }
            Some(Error::File(inner)) => is_for_want_of_space(inner),
            Some(Error::Layer(inner)) => is_for_want_of_space(inner),
            Some(Error::Session(inner)) => is_for_want_of_space(inner),
            _ => is_full(error),
        };
        if here {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its causes either.
        return matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            || error.get_ref().is_some_and(|inner| is_for_want_of_space(inner));
    }
    if let Some(error) = error.downcast_ref::<rustix::io::Errno>() {
        return matches!(*error, rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT);
    }
    error
        .downcast_ref::<slipway_store::Error>()
        .is_some_and(|error| error.io_kind() == Some(io::ErrorKind::StorageFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_whatever_it_is_wrapped_in() {
        let full = || io::Error::from_raw_os_error(28);
        let no_space = || slipway_store::Error::io("write", "/a", full());
        let seen = |error: Error| is_for_want_of_space(&error);
        assert!(seen(Error::io("cannot write", full())));
        assert!(seen(Error::from(no_space())));
        assert!(seen(Error::io("cannot write", io::Error::other(no_space()))));
        let exit = Error::Exit { process: "dd".into(), end: "exit code: 1".into(), code: 1 };
        assert!(!is_for_want_of_space(&exit));
        assert!(seen(Error::DiskFull { source: Box::new(exit) }));
        assert!(!seen(Error::Cancelled));
        assert!(!seen(Error::io("cannot write", io::Error::from_raw_os_error(5))));
    }
}
