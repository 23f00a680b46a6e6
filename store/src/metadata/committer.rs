//! The thread that commits what waits, folds the log, and makes epochs durable in pauses.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::connection::{Mark, State};
use super::{COMMIT_DELAY, Core, Durability, LOG_LIMIT, SYNC_IDLE, SYNC_LATEST};
use crate::error::{At as _, Error, Result};

/// After a failure the thread waits this long, or it would fill the log with warnings.
const RETRY: Duration = Duration::from_secs(10);

pub(super) fn start(core: Arc<Core>) -> Result<JoinHandle<()>> {
    let path = core.path.clone();
    std::thread::Builder::new()
        .name("metadata".into())
        .spawn(move || core.run())
        .at("start the committer thread of", path)
}

impl Core {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopping {
            let now = Instant::now();
            let result = match next(&state, self.durability) {
                None => {
                    self.changed.wait(&mut state);
                    continue;
                }
                Some((_, due)) if now < due => {
                    self.changed.wait_until(&mut state, due);
                    continue;
                }
                Some((Duty::Commit, _)) => state.commit().map_err(|error| self.error(error)),
                Some((Duty::Sync, _)) => MutexGuard::unlocked(&mut state, || self.make_durable()),
            };
            let result = result.and_then(|()| self.fold_log(&mut state));
            if let Err(error) = result {
                tracing::warn!(path = %self.path.display(), %error, "metadata could not be committed or synced");
                let until = Instant::now() + RETRY;
                while !state.stopping && !self.changed.wait_until(&mut state, until).timed_out() {}
            }
        }
    }

    /// Commits; says if a write after `mark` was lost, now or before.
    pub(super) fn commit(&self, mark: Option<Mark>) -> Result<()> {
        let mut state = self.state.lock();
        let committed = state.commit().map_err(|error| self.error(error));
        match mark.and_then(|mark| state.lost_since(mark)) {
            Some(reason) => Err(Error::WritesLost { reason: reason.to_owned() }),
            None => committed,
        }
    }

    /// Moves the log into the database once it has become long; the database has one user, so all of it can go.
    fn fold_log(&self, state: &mut MutexGuard<'_, State>) -> Result<()> {
        let log = self.log_path();
        let length = std::fs::metadata(&log).map(|meta| meta.len()).unwrap_or(0);
        if length > LOG_LIMIT {
            state.commit().map_err(|error| self.error(error))?;
            self.checkpoint(state)?;
        }
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }
}

enum Duty {
    Commit,
    Sync,
}

/// What has to be done next, and when.
fn next(state: &State, durability: Durability) -> Option<(Duty, Instant)> {
    if let Some(since) = state.pending_since {
        return Some((Duty::Commit, since + COMMIT_DELAY));
    }
    if durability == Durability::Volatile {
        return None;
    }
    let since = state.unsynced_since?;
    Some((Duty::Sync, (state.last_write + SYNC_IDLE).min(since + SYNC_LATEST)))
}
