//! gzip on many threads (RFC 1952): a member for each block, one after the other.
//!
//! Members need nothing of each other, so they are made in parallel by libdeflate, which packs whole buffers: at the
//! same size it takes half the time of a streaming compressor. Every reader of layers takes several members for the
//! one stream that the RFC says they are, as layers for lazy pulling have had one for each file for years.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};
use parking_lot::Mutex;
use slipway_model::{BlobDigest, DiffId, Digest, Hasher};

use super::blocks::{Blocks, stopped};
use super::{Compressed, Hashing, Producer};
use crate::layer::LayerError;

/// As small as what the field's builders make with their default, in a third of the time.
const DEFAULT_LEVEL: i32 = 2;

struct Job {
    block: Arc<Vec<u8>>,
    done: SyncSender<Result<Vec<u8>, LayerError>>,
}

type Piece = Receiver<Result<Vec<u8>, LayerError>>;

pub(super) fn compress(
    level: Option<i32>,
    threads: usize,
    sink: &mut (dyn Write + Send),
    produce: Box<Producer<'_>>,
) -> Result<Compressed, LayerError> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    let (jobs, todo) = sync_channel::<Job>(threads);
    let (order, pieces) = sync_channel::<Piece>(threads);
    let (hashed, to_hash) = sync_channel::<Arc<Vec<u8>>>(threads);
    let todo = Mutex::new(todo);
    thread::scope(|scope| {
        let todo = &todo;
        for _ in 0..threads {
            scope.spawn(move || work(level, todo));
        }
        let hasher = scope.spawn(move || hash(&to_hash));
        let collector = scope.spawn(move || collect(&pieces, sink));

        let mut blocks = Blocks::new(|block: Arc<Vec<u8>>| {
            let (done, piece) = sync_channel(1);
            hashed.send(block.clone()).map_err(|_| stopped())?;
            order.send(piece).map_err(|_| stopped())?;
            jobs.send(Job { block, done }).map_err(|_| stopped())
        });
        let produced = produce(&mut blocks).and_then(|()| blocks.finish().map_err(LayerError::Output));
        // The threads end when nothing can come any more.
        drop((jobs, order, hashed));
        let (diff, uncompressed_size) = join(hasher);
        let collected = join(collector);
        // A sink's error is why the producer could not go on.
        let (blob, size) = match (produced, collected) {
            (_, Err(error)) => return Err(error),
            (Err(error), Ok(_)) => return Err(error),
            (Ok(()), Ok(written)) => written,
        };
        Ok(Compressed { diff_id: DiffId(diff), blob: BlobDigest(blob), size, uncompressed_size, table: None })
    })
}

fn work(level: i32, todo: &Mutex<Receiver<Job>>) {
    let Ok(level) = CompressionLvl::new(level) else { return };
    let mut compressor = Compressor::new(level);
    // One thread waits holding the lock; the others wait for the lock. The order of jobs does not matter.
    let next = || todo.lock().recv();
    while let Ok(job) = next() {
        // Nobody waits any more if the sink failed.
        drop(job.done.send(member(&mut compressor, &job.block)));
    }
}

/// A whole gzip file of `block`: no name, no time, unknown system; nothing that would differ between hosts.
fn member(compressor: &mut Compressor, block: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut out = vec![0; compressor.gzip_compress_bound(block.len())];
    let length = compressor
        .gzip_compress(block, &mut out)
        .map_err(|error| LayerError::Output(std::io::Error::other(error.to_string())))?;
    out.truncate(length);
    Ok(out)
}

fn hash(blocks: &Receiver<Arc<Vec<u8>>>) -> (Digest, u64) {
    let mut hasher = Hasher::new();
    while let Ok(block) = blocks.recv() {
        hasher.update(&block);
    }
    let length = hasher.length();
    (hasher.finish(), length)
}

fn collect(pieces: &Receiver<Piece>, sink: &mut (dyn Write + Send)) -> Result<(Digest, u64), LayerError> {
    let mut out = Hashing::new(sink);
    while let Ok(piece) = pieces.recv() {
        // A job that was never sent: the producer has the error.
        let Ok(piece) = piece.recv() else { break };
        out.write_all(&piece?).map_err(LayerError::Output)?;
    }
    out.flush().map_err(LayerError::Output)?;
    Ok(out.finish())
}

/// The result of a thread; its panic goes on in this one.
pub(super) fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
