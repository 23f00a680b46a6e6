//! Tar to blob: compressed on all cores, hashed on both sides, in bounded memory.
//!
//! ```text
//!            ┌─> hash ────────────────────────────> DiffId
//! producer ──┤
//!            └─> blocks ─> workers ─> in order ─> hash ─> sink
//! ```
//!
//! The same input gives the same bytes whatever the number of threads:
//!
//! | | how |
//! |---|---|
//! | gzip | blocks of a fixed size, each a gzip member of its own |
//! | eStargz | one member for each file, on one thread |
//! | zstd | the library's own workers; its jobs are cut by size, never by worker |
//!
//! In flight are at most two blocks for each thread. A sink that fails stops the producer.

mod blocks;
mod estargz;
mod gzip;
mod zstd;

use std::io::Write;

pub use estargz::{TOC_DIGEST, UNCOMPRESSED_SIZE};
use slipway_model::media_type::Compression;
use slipway_model::{BlobDigest, DiffId, Digest, Hasher};

use super::LayerError;

/// What to compress with, and how hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompressOptions {
    pub compression: Compression,
    /// gzip: 0 to 9; zstd: 0 to 22 (0 is its default); `None` for the default.
    pub level: Option<i32>,
    /// For gzip: as eStargz, whose files can be fetched one by one.
    pub seekable: bool,
}

/// A blob that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    pub diff_id: DiffId,
    pub blob: BlobDigest,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub uncompressed_size: u64,
    /// Of an eStargz layer: its table.
    pub table: Option<Digest>,
}

/// Where the producer writes its tar.
pub type Producer<'a> = dyn FnOnce(&mut dyn Write) -> Result<(), LayerError> + 'a;

impl CompressOptions {
    /// Refuses a level that the compression does not have.
    pub fn check(&self) -> Result<(), LayerError> {
        let (name, range, fits) = match (self.compression, self.level) {
            (_, None) | (Compression::Uncompressed, _) => return Ok(()),
            (Compression::Gzip, Some(level)) => ("gzip", "0 to 9", (0..=9).contains(&level)),
            (Compression::Zstd, Some(level)) => ("zstd", "0 to 22", (0..=22).contains(&level)),
        };
        if fits { Ok(()) } else { Err(LayerError::Level { name, level: self.level.unwrap_or(0), range }) }
    }
}

/// Runs `produce` and writes what it produces, compressed, to `sink`. Blocks; uses `threads` threads
/// besides the caller's.
pub fn compress(
    options: CompressOptions,
    threads: usize,
    sink: &mut (dyn Write + Send),
    produce: Box<Producer<'_>>,
) -> Result<Compressed, LayerError> {
    options.check()?;
    let threads = threads.clamp(1, 64);
    match options.compression {
        Compression::Uncompressed => plain(sink, produce),
        Compression::Gzip if options.seekable => estargz::compress(options.level, sink, produce),
        Compression::Gzip => gzip::compress(options.level, threads, sink, produce),
        Compression::Zstd => zstd::compress(options.level, threads, sink, produce),
    }
}

fn plain(sink: &mut (dyn Write + Send), produce: Box<Producer<'_>>) -> Result<Compressed, LayerError> {
    let mut counted = Hashing::new(sink);
    let mut buffered = std::io::BufWriter::with_capacity(256 << 10, &mut counted);
    produce(&mut buffered)?;
    buffered.flush().map_err(LayerError::Output)?;
    drop(buffered);
    let (digest, size) = counted.finish();
    Ok(Compressed {
        diff_id: DiffId(digest),
        blob: BlobDigest(digest),
        size,
        uncompressed_size: size,
        table: None,
    })
}

/// Hashes and counts what passes through to a sink.
struct Hashing<'a> {
    hasher: Hasher,
    sink: &'a mut (dyn Write + Send),
}

impl<'a> Hashing<'a> {
    fn new(sink: &'a mut (dyn Write + Send)) -> Self {
        Self { hasher: Hasher::new(), sink }
    }

    fn finish(self) -> (Digest, u64) {
        let length = self.hasher.length();
        (self.hasher.finish(), length)
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests;
