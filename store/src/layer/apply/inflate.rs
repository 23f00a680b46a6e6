//! Reading and decompressing on one thread, hashing on a second, so that the caller only unpacks.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use slipway_model::media_type::Compression;
use slipway_model::{Digest, Hasher};

use crate::layer::LayerError;

const BLOCK: usize = 256 << 10;
/// Blocks that may wait.
const AHEAD: usize = 4;

/// What passed through.
pub(super) struct Inflated {
    pub(super) blob: Digest,
    pub(super) size: u64,
    pub(super) diff: Digest,
    pub(super) compression: Compression,
}

type Block = Arc<Vec<u8>>;

/// Runs `consume` on the uncompressed content; what it leaves unread is still hashed.
pub(super) fn inflate<T>(
    blob: &mut (dyn Read + Send),
    consume: impl FnOnce(&mut Content) -> Result<T, LayerError>,
) -> Result<(T, Inflated), LayerError> {
    let (blocks, incoming) = sync_channel::<io::Result<Block>>(AHEAD);
    let (hashed, to_hash) = sync_channel::<Block>(AHEAD);
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(blob, &blocks, &hashed));
        let hasher = scope.spawn(move || {
            let mut hasher = Hasher::new();
            while let Ok(block) = to_hash.recv() {
                hasher.update(&block);
            }
            hasher.finish()
        });
        let mut content = Content { incoming, block: Arc::default(), position: 0 };
        let consumed = consume(&mut content).and_then(|value| content.drain().map(|()| value));
        // Whoever stops early stops the reader too.
        drop(content);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let diff = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (value, (blob, size, compression)) = match (consumed, read) {
            // The reader's own error says more than what came through the channel.
            (Err(LayerError::Input(_)), Err(error)) | (Err(error), _) | (_, Err(error)) => return Err(error),
            (Ok(value), Ok(read)) => (value, read),
        };
        Ok((value, Inflated { blob, size, diff, compression }))
    })
}

/// The uncompressed content, a block at a time.
pub(super) struct Content {
    incoming: Receiver<io::Result<Block>>,
    block: Block,
    position: usize,
}

impl Content {
    fn drain(&mut self) -> Result<(), LayerError> {
        loop {
            let length = self.fill_buf().map_err(LayerError::Input)?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
    }
}

impl BufRead for Content {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.block.len()
            && let Ok(block) = self.incoming.recv()
        {
            (self.block, self.position) = (block?, 0);
        }
        Ok(&self.block[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn read(
    blob: &mut (dyn Read + Send),
    blocks: &SyncSender<io::Result<Block>>,
    hashed: &SyncSender<Block>,
) -> Result<(Digest, u64, Compression), LayerError> {
    let mut raw = BufReader::with_capacity(BLOCK, Hashing { inner: blob, hasher: Hasher::new() });
    let compression = match detect(&mut raw) {
        Ok(compression) => compression,
        Err(LayerError::Input(error)) => {
            drop(blocks.send(Err(again(&error))));
            return Err(LayerError::Input(error));
        }
        Err(error) => {
            drop(blocks.send(Err(io::Error::other(error.to_string()))));
            return Err(error);
        }
    };
    let passed = match compression {
        Compression::Uncompressed => pass(&mut raw, blocks, hashed),
        Compression::Gzip => pass(&mut flate2::bufread::MultiGzDecoder::new(&mut raw), blocks, hashed),
        Compression::Zstd => zstd::stream::read::Decoder::with_buffer(&mut raw)
            .and_then(|mut from| pass(&mut from, blocks, hashed)),
    };
    if let Err(error) = passed {
        drop(blocks.send(Err(again(&error))));
        return Err(LayerError::Input(error));
    }
    io::copy(&mut raw, &mut io::sink()).map_err(LayerError::Input)?;
    let hasher = raw.into_inner().hasher;
    let size = hasher.length();
    Ok((hasher.finish(), size, compression))
}

fn pass(
    from: &mut impl Read,
    blocks: &SyncSender<io::Result<Block>>,
    hashed: &SyncSender<Block>,
) -> io::Result<()> {
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        from.take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(());
        }
        let block = Arc::new(block);
        drop(hashed.send(block.clone()));
        if blocks.send(Ok(block)).is_err() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "unpacking has stopped"));
        }
    }
}

/// By the first bytes; a media type may be wrong, these are not.
fn detect(raw: &mut impl BufRead) -> Result<Compression, LayerError> {
    let start = raw.fill_buf().map_err(LayerError::Input)?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, ..] => {
            return Err(LayerError::Compression("bzip2"));
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Err(LayerError::Compression("xz")),
        _ => Compression::Uncompressed,
    })
}

/// The same error once more, for the other side of a channel.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

struct Hashing<'a> {
    inner: &'a mut (dyn Read + Send),
    hasher: Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.hasher.update(&into[..length]);
        Ok(length)
    }
}
