//! What a running build says: a file that only grows, read by any number of watchers at their own pace.
//!
//! Small news waits in memory for company; output of steps is written at once, so that it is there after a kill.
//! There is no fsync. Memory holds [`TAIL`] bytes of a build, however much it says and however slowly it is read.
//! On a full disk output is left out, and what becomes of the steps stays in memory up to [`MOST_TAIL`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::{BlobDigest, Hasher};
use slipway_proto::control::{BuildHistoryRecord, StatusResponse};
use tokio::sync::watch;

use super::frames;
use super::tally::Tally;

/// News that waits for company.
const TAIL: usize = 64 << 10;
/// What is kept while the file cannot be written.
const MOST_TAIL: usize = 4 << 20;

pub(crate) struct Spool {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// How many bytes there are, and whether more will come.
    written: watch::Sender<(u64, bool)>,
}

#[derive(Default)]
struct Inner {
    /// Made when there is something to write.
    file: Option<Arc<File>>,
    /// Bytes in the file.
    flushed: u64,
    /// What follows them.
    tail: Vec<u8>,
    hasher: Hasher,
    tally: Tally,
    full: bool,
    kept: bool,
}

/// A spool that is complete, in the file of this path.
pub(super) struct Finished {
    pub digest: BlobDigest,
    pub size: u64,
}

impl Spool {
    /// A spool in a file that is made when it is needed, and removed with the spool unless it is [kept](Self::keep).
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, inner: Mutex::default(), written: watch::channel((0, true)).0 }
    }

    pub(crate) fn push(&self, news: &StatusResponse) {
        let length = {
            let mut inner = self.inner.lock();
            inner.tally.count(news);
            if inner.full && (!news.logs.is_empty() || inner.tail.len() > MOST_TAIL) {
                // What was not written may be now.
                inner.write(&self.path);
                if inner.full {
                    return;
                }
            }
            frames::append(&mut inner.tail, news);
            if !news.logs.is_empty() || inner.tail.len() >= TAIL {
                inner.write(&self.path);
            }
            inner.length()
        };
        self.written.send_modify(|(written, _)| *written = length);
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.written.borrow().0
    }

    pub(crate) fn is_closed(&self) -> bool {
        !self.written.borrow().1
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.written.send_modify(|(_, open)| *open = false);
    }

    /// What was said from `position` on; waits for news if there is none yet. `None`: that was all.
    pub(crate) async fn read(&self, position: &mut u64) -> Option<io::Result<StatusResponse>> {
        let from = *position;
        let mut written = self.written.subscribe();
        if written.wait_for(|(length, open)| *length > from || !*open).await.is_err() {
            return None;
        }
        drop(written);
        let read = match self.place(from) {
            Place::End => return None,
            Place::Memory(read) => read.map(Some),
            Place::File(file, end) => {
                let read = tokio::task::spawn_blocking(move || frames::read(&file, from, end));
                read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        match read {
            Ok(read) => {
                let (response, taken) = read?;
                *position += taken as u64;
                Some(Ok(response))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn place(&self, from: u64) -> Place {
        let inner = self.inner.lock();
        match from.checked_sub(inner.flushed) {
            None => inner.file.clone().map_or(Place::End, |file| Place::File(file, inner.flushed)),
            Some(skip) => match inner.tail.get(usize::try_from(skip).unwrap_or(usize::MAX)..) {
                Some(rest) if !rest.is_empty() => Place::Memory(frames::take(rest)),
                _ => Place::End,
            },
        }
    }

    /// Counts what was done so far.
    pub(super) fn note_steps(&self, record: &mut BuildHistoryRecord) {
        self.inner.lock().tally.note(record);
    }

    /// Closes it and writes all of it to its file.
    pub(super) fn finish(&self) -> io::Result<Finished> {
        self.close();
        let mut inner = self.inner.lock();
        inner.file(&self.path)?;
        inner.try_write(&self.path)?;
        let digest = BlobDigest(std::mem::take(&mut inner.hasher).finish());
        Ok(Finished { digest, size: inner.flushed })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file has another name now, or is needed by the next start.
    pub(super) fn keep(&self) {
        self.inner.lock().kept = true;
    }
}

/// Where the next news is.
enum Place {
    File(Arc<File>, u64),
    Memory(io::Result<(StatusResponse, usize)>),
    End,
}

impl Inner {
    fn length(&self) -> u64 {
        self.flushed + self.tail.len() as u64
    }

    fn write(&mut self, path: &Path) {
        let outcome = self.try_write(path);
        if let Err(error) = &outcome
            && !self.full
        {
            tracing::warn!(path = %path.display(), %error, "the output of a build is left out of its log");
        }
        self.full = outcome.is_err();
    }

    /// All of the tail or nothing: what a write that failed has left is written over.
    fn try_write(&mut self, path: &Path) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let file = self.file(path)?;
        file.write_all_at(&self.tail, self.flushed)?;
        self.hasher.update(&self.tail);
        self.flushed += self.tail.len() as u64;
        self.tail.clear();
        self.tail.shrink_to(TAIL);
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = Arc::new(options.open(path)?);
        self.file = Some(file.clone());
        Ok(file)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        if inner.file.is_some()
            && !inner.kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a log stays until the next start");
        }
    }
}
