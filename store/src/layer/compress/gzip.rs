//! gzip on many threads (RFC 1951, RFC 1952).
//!
//! A block is deflated with a sync flush at its end, so it ends at a byte boundary and is not final;
//! the stream is closed by an empty final block. The checksum of the whole is combined from those of
//! the blocks.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use parking_lot::Mutex;
use slipway_model::{BlobDigest, DiffId, Digest, Hasher};

use super::blocks::{Blocks, stopped};
use super::{Compressed, Hashing, Producer};
use crate::layer::LayerError;

/// No name, no time, unknown system: nothing that would differ between hosts.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty block with the final bit.
const FINAL_BLOCK: [u8; 2] = [3, 0];
const WINDOW: usize = 32 << 10;

struct Job {
    block: Arc<Vec<u8>>,
    /// The block before, for its end.
    before: Option<Arc<Vec<u8>>>,
    done: SyncSender<Piece>,
}

struct Piece {
    deflated: Result<Vec<u8>, LayerError>,
    crc: Crc,
}

pub(super) fn compress(
    level: Option<i32>,
    threads: usize,
    sink: &mut (dyn Write + Send),
    produce: Box<Producer<'_>>,
) -> Result<Compressed, LayerError> {
    let level =
        level.and_then(|level| u32::try_from(level).ok()).map_or(Compression::default(), Compression::new);
    let (jobs, todo) = sync_channel::<Job>(threads);
    let (order, pieces) = sync_channel::<Receiver<Piece>>(threads);
    let (hashed, to_hash) = sync_channel::<Arc<Vec<u8>>>(threads);
    let todo = Mutex::new(todo);
    thread::scope(|scope| {
        let todo = &todo;
        for _ in 0..threads {
            scope.spawn(move || work(level, todo));
        }
        let hasher = scope.spawn(move || hash(&to_hash));
        let collector = scope.spawn(move || collect(&pieces, sink));

        let mut before = None;
        let mut blocks = Blocks::new(|block: Arc<Vec<u8>>| {
            let (done, piece) = sync_channel(1);
            hashed.send(block.clone()).map_err(|_| stopped())?;
            order.send(piece).map_err(|_| stopped())?;
            let before = before.replace(block.clone());
            jobs.send(Job { block, before, done }).map_err(|_| stopped())
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

fn work(level: Compression, todo: &Mutex<Receiver<Job>>) {
    // One thread waits holding the lock; the others wait for the lock. The order of jobs does not matter.
    let next = || todo.lock().recv();
    while let Ok(job) = next() {
        let mut crc = Crc::new();
        crc.update(&job.block);
        let before = job.before.as_deref().map_or(&[][..], Vec::as_slice);
        let dictionary = &before[before.len().saturating_sub(WINDOW)..];
        // Nobody waits any more if the sink failed.
        drop(job.done.send(Piece { deflated: deflate(level, dictionary, &job.block), crc }));
    }
}

fn deflate(level: Compression, dictionary: &[u8], block: &[u8]) -> Result<Vec<u8>, LayerError> {
    let failed = |error: &dyn std::fmt::Display| LayerError::Output(std::io::Error::other(error.to_string()));
    let mut stream = Compress::new(level, false);
    if !dictionary.is_empty() {
        stream.set_dictionary(dictionary).map_err(|error| failed(&error))?;
    }
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let read = usize::try_from(stream.total_in()).unwrap_or(block.len());
        let status =
            stream.compress_vec(&block[read..], &mut out, FlushCompress::Sync).map_err(|e| failed(&e))?;
        // A flush is complete once it leaves room in the output.
        if stream.total_in() == block.len() as u64
            && (out.len() < out.capacity() || status == Status::BufError)
        {
            return Ok(out);
        }
        out.reserve(block.len() / 4 + 1024);
    }
}

fn hash(blocks: &Receiver<Arc<Vec<u8>>>) -> (Digest, u64) {
    let mut hasher = Hasher::new();
    while let Ok(block) = blocks.recv() {
        hasher.update(&block);
    }
    let length = hasher.length();
    (hasher.finish(), length)
}

fn collect(
    pieces: &Receiver<Receiver<Piece>>,
    sink: &mut (dyn Write + Send),
) -> Result<(Digest, u64), LayerError> {
    let mut out = Hashing::new(sink);
    let mut crc = Crc::new();
    out.write_all(&HEADER).map_err(LayerError::Output)?;
    while let Ok(piece) = pieces.recv() {
        // A job that was never sent: the producer has the error.
        let Ok(piece) = piece.recv() else { break };
        crc.combine(&piece.crc);
        out.write_all(&piece.deflated?).map_err(LayerError::Output)?;
    }
    // The length is that of the input modulo 2^32, as `Crc` counts it.
    let end = [&FINAL_BLOCK[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat();
    out.write_all(&end).and_then(|()| out.flush()).map_err(LayerError::Output)?;
    Ok(out.finish())
}

/// The result of a thread; its panic goes on in this one.
pub(super) fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
