//! zstd on many threads (RFC 8878), one frame.
//!
//! The library cuts its jobs by size and gives the same frame for any number of workers but none, so
//! there is always at least one.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use slipway_model::{BlobDigest, DiffId, Hasher};

use super::blocks::{Blocks, stopped};
use super::gzip::join;
use super::{Compressed, Hashing, Producer};
use crate::layer::LayerError;

pub(super) fn compress(
    level: Option<i32>,
    threads: usize,
    sink: &mut (dyn Write + Send),
    produce: Box<Producer<'_>>,
) -> Result<Compressed, LayerError> {
    let (hashed, to_hash) = sync_channel::<Arc<Vec<u8>>>(2);
    thread::scope(|scope| {
        let hasher = scope.spawn(move || {
            let mut hasher = Hasher::new();
            while let Ok(block) = to_hash.recv() {
                hasher.update(&block);
            }
            hasher
        });
        let mut out = Hashing::new(sink);
        let mut encoder =
            zstd::Encoder::new(BufWriter::with_capacity(256 << 10, &mut out), level.unwrap_or(0))
                .and_then(|mut encoder| encoder.multithread(threads as u32).map(|()| encoder))
                .map_err(LayerError::Output)?;
        let mut blocks = Blocks::new(|block: Arc<Vec<u8>>| {
            hashed.send(block.clone()).map_err(|_| stopped())?;
            encoder.write_all(&block)
        });
        let produced = produce(&mut blocks).and_then(|()| blocks.finish().map_err(LayerError::Output));
        drop(hashed);
        let hasher = join(hasher);
        produced?;
        let mut written = encoder.finish().map_err(LayerError::Output)?;
        written.flush().map_err(LayerError::Output)?;
        drop(written);
        let (blob, size) = out.finish();
        let uncompressed_size = hasher.length();
        Ok(Compressed {
            diff_id: DiffId(hasher.finish()),
            blob: BlobDigest(blob),
            size,
            uncompressed_size,
            table: None,
        })
    })
}
