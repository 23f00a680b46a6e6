//! Blobs that the daemon adds to a layout of the client: hashed while they are written, and named when all
//! of them is there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::Stream;
use slipway_model::{Digest, Hasher};
use slipway_proto::content::{WriteAction, WriteContentRequest, WriteContentResponse};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::content::{parse, path};

type Answer = Result<WriteContentResponse, Status>;

/// One blob: what the daemon sends, and what it is answered.
pub(super) fn receive(
    layout: PathBuf,
    mut incoming: Streaming<WriteContentRequest>,
) -> impl Stream<Item = Answer> + Send + 'static {
    let (answers, stream) = mpsc::channel(8);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut ingest = None;
        while let Ok(Some(request)) = runtime.block_on(incoming.message()) {
            let answer = answer(&layout, &mut ingest, request);
            let last = !matches!(&answer, Ok(answer) if answer.action() != WriteAction::Commit);
            if answers.blocking_send(answer).is_err() || last {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

fn answer(layout: &Path, ingest: &mut Option<Ingest>, request: WriteContentRequest) -> Answer {
    let mut open = match ingest.take() {
        Some(open) => open,
        None => Ingest::begin(layout, &request.expected)?,
    };
    let action = request.action();
    if action != WriteAction::Stat {
        open.write(request.offset, &request.data)?;
    }
    let offset = i64::try_from(open.written).unwrap_or(i64::MAX);
    let mut answer =
        WriteContentResponse { action: action.into(), offset, total: request.total, ..Default::default() };
    if action == WriteAction::Commit {
        answer.digest = open.commit(layout, &request)?.to_string();
    } else {
        *ingest = Some(open);
    }
    Ok(answer)
}

/// A blob without a name. Dropped, it is gone.
struct Ingest {
    unfinished: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
}

impl Ingest {
    fn begin(layout: &Path, expected: &str) -> Result<Self, Status> {
        if !expected.is_empty() && fs::exists(path(layout, &parse(expected)?)).unwrap_or(false) {
            return Err(Status::already_exists(format!("{expected}: already exists")));
        }
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = layout.join("ingest");
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let unfinished = folder.join(name);
        let file = create(&folder, &unfinished).map_err(|error| failed(&unfinished, &error))?;
        Ok(Self { unfinished, file, hasher: Hasher::new(), written: 0 })
    }

    fn write(&mut self, offset: i64, data: &[u8]) -> Result<(), Status> {
        if data.is_empty() {
            return Ok(());
        }
        if u64::try_from(offset) != Ok(self.written) {
            let written = self.written;
            return Err(Status::out_of_range(format!("data for offset {offset} comes at {written}")));
        }
        self.file.write_all(data).map_err(|error| failed(&self.unfinished, &error))?;
        self.hasher.update(data);
        self.written += data.len() as u64;
        Ok(())
    }

    fn commit(mut self, layout: &Path, request: &WriteContentRequest) -> Result<Digest, Status> {
        let digest = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        if request.total > 0 && u64::try_from(request.total) != Ok(self.written) {
            let (written, total) = (self.written, request.total);
            return Err(Status::failed_precondition(format!("{written} of {total} bytes came")));
        }
        if !request.expected.is_empty() && parse(&request.expected)? != digest {
            let expected = &request.expected;
            return Err(Status::failed_precondition(format!("expected {expected}, but {digest} came")));
        }
        let named = path(layout, &digest);
        let folder = named.parent().unwrap_or(layout);
        let kept = fs::create_dir_all(folder).and_then(|()| fs::rename(&self.unfinished, &named));
        kept.map_err(|error| failed(&named, &error))?;
        Ok(digest)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // After a commit there is nothing left of that name; the last to leave takes the folder away.
        let _ = fs::remove_file(&self.unfinished);
        if let Some(folder) = self.unfinished.parent() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folder goes with the last blob in it, which may be between the two steps: then both are taken again.
fn create(folder: &Path, unfinished: &Path) -> io::Result<File> {
    const MOST_TRIES: usize = 100;
    let create = || fs::create_dir_all(folder).and_then(|()| File::create(unfinished));
    // Also while the folder is made, which then says that there was one.
    let was_taken = |made: &io::Result<File>| {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists];
        made.as_ref().is_err_and(|error| gone.contains(&error.kind()))
    };
    let mut made = create();
    for _ in 0..MOST_TRIES {
        if !was_taken(&made) {
            break;
        }
        made = create();
    }
    made
}

fn failed(path: &Path, error: &io::Error) -> Status {
    Status::unknown(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_that_come_and_go_do_not_take_the_folder_from_each_other() {
        let layout = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| drop(Ingest::begin(layout.path(), "").unwrap())));
            }
        });
        assert!(!layout.path().join("ingest").exists());
    }
}
