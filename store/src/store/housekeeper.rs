//! A thread for what nobody waits for: removing discarded trees, and measuring committed ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::error::{At as _, Result};
use crate::metadata::Metadata;
use crate::refs::table;
use crate::snapshot::{Bin, SnapshotId, Snapshotter};

/// Snapshots waiting to be measured; those beyond are measured when somebody asks.
const WAITING: usize = 4096;

pub(crate) struct Housekeeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    duties: Mutex<Duties>,
    changed: Condvar,
    snapshotter: Arc<dyn Snapshotter>,
    bin: Bin,
}

#[derive(Default)]
struct Duties {
    bin_is_full: bool,
    measure: VecDeque<SnapshotId>,
    stopping: bool,
}

enum Duty {
    EmptyBin,
    Measure(SnapshotId),
}

impl Housekeeper {
    /// Begins with what the last run left in the bin.
    pub(super) fn start(snapshotter: Arc<dyn Snapshotter>, metadata: Metadata, bin: Bin) -> Result<Self> {
        let duties = Mutex::new(Duties { bin_is_full: true, ..Duties::default() });
        let shared = Arc::new(Shared { duties, changed: Condvar::new(), snapshotter, bin });
        let root = metadata.path().to_owned();
        let thread = std::thread::Builder::new()
            .name("housekeeper".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run(&metadata)
            })
            .at("start the housekeeper of", root)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Something was thrown into the bin.
    pub(crate) fn empty_bin(&self) {
        self.shared.duties.lock().bin_is_full = true;
        self.shared.changed.notify_one();
    }

    /// Returns when what is in the bin now is gone.
    pub(crate) fn empty_bin_now(&self) -> Result<()> {
        self.shared.empty_bin(|| true)
    }

    /// A snapshot was committed and has no size yet.
    pub(crate) fn measure(&self, id: SnapshotId) {
        let mut duties = self.shared.duties.lock();
        if duties.measure.len() < WAITING {
            duties.measure.push_back(id);
            drop(duties);
            self.shared.changed.notify_one();
        }
    }

    /// Returns when the thread is gone; what it did not get to is done by the next run.
    pub(super) fn stop(&self) {
        self.shared.duties.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic in it was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, metadata: &Metadata) {
        while let Some(duty) = self.next() {
            let done = match duty {
                Duty::EmptyBin => self.empty_bin(|| !self.duties.lock().stopping),
                Duty::Measure(id) => self.measure(metadata, &id),
            };
            if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "housekeeping failed");
            }
        }
    }

    fn next(&self) -> Option<Duty> {
        let mut duties = self.duties.lock();
        loop {
            if duties.stopping {
                return None;
            }
            if let Some(id) = duties.measure.pop_front() {
                return Some(Duty::Measure(id));
            }
            if std::mem::take(&mut duties.bin_is_full) {
                return Some(Duty::EmptyBin);
            }
            self.changed.wait(&mut duties);
        }
    }

    fn empty_bin(&self, go_on: impl Fn() -> bool) -> Result<()> {
        self.bin.empty(go_on)?;
        self.snapshotter.collect()
    }

    fn measure(&self, metadata: &Metadata, id: &SnapshotId) -> Result<()> {
        match self.snapshotter.usage(id) {
            Ok(usage) => metadata.with(|db| table::set_size_unless_shared(db, id, usage.bytes)),
            // Pruned meanwhile.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
