//! Who copies the files: the walk itself while there are few, more threads when there are many.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use parking_lot::Mutex;
use rustix::fs::Stat;
use slipway_store::cores;

use super::content::Abilities;
use super::folder::{Folder, release};
use super::{FileError, Plan, Result, leaf};

/// Files that are not worth starting threads for.
const FEW: usize = 32;
/// Files that change hands at once: fewer, and the threads spend their time waking each other.
const BATCH: usize = 16;
/// Batches on their way at most; each file keeps the descriptors of its directories open.
const QUEUE: usize = 4;
const MOST_THREADS: usize = 16;

/// One entry to be made.
pub(super) struct Task {
    pub(super) source: Arc<OwnedFd>,
    pub(super) source_name: Vec<u8>,
    pub(super) folder: Arc<Folder>,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// The target, where it had to be made early.
    pub(super) created: Option<OwnedFd>,
}

/// What all threads of a copy share.
#[derive(Default)]
pub(super) struct Shared {
    abilities: Abilities,
    failed: AtomicBool,
    error: Mutex<Option<FileError>>,
}

pub(super) struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    plan: &'env Plan,
    shared: Arc<Shared>,
    sender: Option<SyncSender<Vec<Task>>>,
    batch: Vec<Task>,
    done: usize,
    link: bool,
    buffer: Vec<u8>,
}

impl<'env> Crew<'_, 'env> {
    /// Runs `walk`, then waits for everything it submitted. The first error counts.
    pub(super) fn with(
        plan: &'env Plan,
        walk: impl for<'a, 'scope> FnOnce(&'a mut Crew<'scope, 'env>) -> Result<()>,
    ) -> Result<()> {
        let shared = Arc::new(Shared::default());
        let walked = thread::scope(|scope| {
            let mut crew = Crew {
                scope,
                plan,
                shared: shared.clone(),
                sender: None,
                batch: Vec::new(),
                done: 0,
                link: plan.link.is_some(),
                buffer: Vec::new(),
            };
            walk(&mut crew).map(|()| crew.send())
        });
        let error = shared.error.lock().take();
        error.map_or(walked, Err)
    }

    pub(super) fn may_link(&self) -> bool {
        self.link
    }

    pub(super) fn stop_linking(&mut self) {
        self.link = false;
    }

    /// Copies a regular file, now or soon. An error of an earlier one stops the walk.
    pub(super) fn submit(&mut self, task: Task) -> Result<()> {
        if self.done < FEW || cores() == 1 {
            self.done += 1;
            return run(self.plan, &self.shared, task, &mut self.buffer);
        }
        if self.shared.failed.load(Ordering::Relaxed) {
            return self.shared.error.lock().take().map_or(Ok(()), Err);
        }
        self.batch.push(task);
        if self.batch.len() >= BATCH {
            self.send();
        }
        Ok(())
    }

    fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let sender = match &self.sender {
            Some(sender) => sender,
            None => {
                let sender = self.start(cores().min(MOST_THREADS));
                self.sender.insert(sender)
            }
        };
        // Threads only end when the sender is gone, so someone is listening.
        let _ = sender.send(std::mem::take(&mut self.batch));
    }

    fn start(&self, threads: usize) -> SyncSender<Vec<Task>> {
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (plan, shared, receiver) = (self.plan, self.shared.clone(), receiver.clone());
            self.scope.spawn(move || work(plan, &shared, &receiver));
        }
        sender
    }
}

fn work(plan: &Plan, shared: &Shared, receiver: &Mutex<Receiver<Vec<Task>>>) {
    let mut buffer = Vec::new();
    loop {
        let next = receiver.lock().recv();
        let Ok(batch) = next else { return };
        for task in batch {
            if shared.failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = run(plan, shared, task, &mut buffer) {
                shared.error.lock().get_or_insert(error);
                shared.failed.store(true, Ordering::Relaxed);
            }
        }
    }
}

fn run(plan: &Plan, shared: &Shared, mut task: Task, buffer: &mut Vec<u8>) -> Result<()> {
    leaf::file(plan, &mut task, &shared.abilities, buffer)?;
    release(plan, task.folder)
}
