//! New chunks on their way into packs.

use std::io::{self, Write as _};

use slipway_model::Digest;
use slipway_store::{BlobLease, Ingest, Store};

use super::chunker::Chunks;
use super::index::{ChunkEntry, Known, PackEntry};

/// A pack may end once it has so many bytes.
const SMALLEST: u64 = 4 << 20;
const LARGEST: u64 = 16 << 20;
/// Which of the chunks after that ends it: one in sixty-four.
const END: u8 = 4;
const LEVEL: i32 = 3;

/// A finished pack: a blob of the store, kept as long as this is.
pub struct NewPack {
    pub entry: PackEntry,
    pub lease: BlobLease,
}

/// Puts the chunks of mounts into packs, those that are not known.
pub struct Packer<'a> {
    store: &'a Store,
    known: &'a mut Known,
    compressor: zstd::bulk::Compressor<'static>,
    open: Option<Open>,
    /// Takes each finished pack; blocks while others are on their way.
    finished: &'a mut dyn FnMut(NewPack) -> io::Result<()>,
    runs: Vec<(usize, usize, usize)>,
    size: u64,
    /// Bytes of chunks that were new.
    pub new_bytes: u64,
}

struct Open {
    ingest: Ingest,
    chunks: Vec<ChunkEntry>,
    /// Where it will be among the known packs: nobody else adds any while it is open.
    place: usize,
}

impl<'a> Packer<'a> {
    pub fn new(
        store: &'a Store,
        known: &'a mut Known,
        finished: &'a mut dyn FnMut(NewPack) -> io::Result<()>,
    ) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { store, known, compressor, open: None, finished, runs: Vec::new(), size: 0, new_bytes: 0 })
    }

    /// What the chunks since the last call were: the runs of a mount, and its size.
    pub fn take_stream(&mut self) -> (Vec<(usize, usize, usize)>, u64) {
        (std::mem::take(&mut self.runs), std::mem::take(&mut self.size))
    }

    /// Ends the open pack.
    pub fn finish(mut self) -> io::Result<()> {
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(Open { ingest, chunks, place }) = self.open.take() else { return Ok(()) };
        let stored = ingest.commit().map_err(io::Error::other)?;
        let entry = PackEntry { digest: stored.digest, chunks };
        let added = self.known.add(entry.clone());
        debug_assert_eq!(added, place, "nobody else adds packs");
        (self.finished)(NewPack { entry, lease: stored.lease })
    }

    fn append(&mut self, digest: Digest, bytes: &[u8]) -> io::Result<(usize, usize)> {
        let packed = self.compressor.compress(bytes)?;
        let stored = if packed.len() < bytes.len() { &packed[..] } else { bytes };
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let ingest = self.store.blobs().ingest(None).map_err(io::Error::other)?;
                self.open.insert(Open { ingest, chunks: Vec::new(), place: self.known.packs.len() })
            }
        };
        open.ingest.write_all(stored)?;
        // A chunk is no longer than its limit.
        let (length, stored) = (bytes.len() as u32, stored.len() as u32);
        open.chunks.push(ChunkEntry { digest, length, stored });
        let place = (open.place, open.chunks.len() - 1);
        self.new_bytes += u64::from(stored);
        let is_end = matches!(digest, Digest::Sha256(hash) if hash[0] < END);
        let size = open.ingest.length();
        if size >= LARGEST || size >= SMALLEST && is_end {
            self.close()?;
        }
        Ok(place)
    }

    /// In the pack that is open, where chunks are not known to others yet.
    fn find_open(&self, digest: &Digest) -> Option<(usize, usize)> {
        let open = self.open.as_ref()?;
        let chunk = open.chunks.iter().position(|chunk| chunk.digest == *digest)?;
        Some((open.place, chunk))
    }
}

impl Chunks for Packer<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let digest = Digest::of(bytes);
        let known = self.known.find(&digest).or_else(|| self.find_open(&digest));
        let (pack, chunk) = match known {
            Some(place) => place,
            None => self.append(digest, bytes)?,
        };
        self.size += bytes.len() as u64;
        match self.runs.last_mut() {
            Some((last, first, count)) if *last == pack && *first + *count == chunk => *count += 1,
            _ => self.runs.push((pack, chunk, 1)),
        }
        Ok(())
    }
}

impl<C: Chunks> Chunks for &mut C {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).chunk(bytes)
    }
}
