//! The stream of a mount out of packs that are here.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use slipway_model::Digest;
use slipway_store::Store;

use super::index::{Index, SavedMount};

/// Reads chunk after chunk, and believes none.
pub struct ChunkStream<'a> {
    store: &'a Store,
    index: &'a Index,
    chunks: Box<dyn Iterator<Item = (usize, usize)> + Send + 'a>,
    /// Files, and where each chunk of theirs begins.
    packs: HashMap<usize, (File, Vec<u64>)>,
    decompressor: zstd::bulk::Decompressor<'static>,
    current: Vec<u8>,
    position: usize,
}

impl<'a> ChunkStream<'a> {
    /// The packs that `mount` needs are blobs of `store`.
    pub fn new(store: &'a Store, index: &'a Index, mount: &'a SavedMount) -> io::Result<Self> {
        Ok(Self {
            store,
            index,
            chunks: Box::new(index.chunks(mount)),
            packs: HashMap::new(),
            decompressor: zstd::bulk::Decompressor::new()?,
            current: Vec::new(),
            position: 0,
        })
    }

    fn load(&mut self, pack: usize, chunk: usize) -> io::Result<()> {
        let entry = self.index.packs[pack].chunks[chunk];
        let (file, offsets) = self.pack(pack)?;
        let mut stored = vec![0; entry.stored as usize];
        file.read_exact_at(&mut stored, offsets[chunk])?;
        self.current = match entry.stored == entry.length {
            true => stored,
            false => self.decompressor.decompress(&stored, entry.length as usize)?,
        };
        self.position = 0;
        if self.current.len() != entry.length as usize || Digest::of(&self.current) != entry.digest {
            return Err(io::Error::other("a chunk of a cache mount is not what its name says"));
        }
        Ok(())
    }

    fn pack(&mut self, pack: usize) -> io::Result<&(File, Vec<u64>)> {
        if !self.packs.contains_key(&pack) {
            let entry = &self.index.packs[pack];
            let file = self.store.blobs().open(&entry.digest).map_err(io::Error::other)?;
            let file = file.ok_or_else(|| io::Error::other("a pack of a cache mount is not here"))?;
            let mut next = 0;
            let offsets = entry.chunks.iter().map(|chunk| {
                let start = next;
                next += u64::from(chunk.stored);
                start
            });
            self.packs.insert(pack, (file, offsets.collect()));
        }
        Ok(&self.packs[&pack])
    }
}

impl Read for ChunkStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() {
            let Some((pack, chunk)) = self.chunks.next() else { return Ok(0) };
            self.load(pack, chunk)?;
        }
        let length = buffer.len().min(self.current.len() - self.position);
        buffer[..length].copy_from_slice(&self.current[self.position..self.position + length]);
        self.position += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::mounts::chunker::Chunker;
    use crate::mounts::index::{Known, Root};
    use crate::mounts::pack::Packer;

    fn save(
        store: &Store,
        known: &mut Known,
        stream: &[u8],
    ) -> (SavedMount, u64, Vec<slipway_store::BlobLease>) {
        let mut leases = Vec::new();
        let mut finished = |pack: crate::mounts::pack::NewPack| {
            leases.push(pack.lease);
            Ok(())
        };
        let mut packer = Packer::new(store, known, &mut finished).unwrap();
        let mut chunker = Chunker::new(&mut packer);
        chunker.write_all(stream).unwrap();
        chunker.finish().unwrap();
        let (runs, size) = packer.take_stream();
        let sent = packer.new_bytes;
        packer.finish().unwrap();
        let root = Root { mode: 0o755, uid: 0, gid: 0 };
        (SavedMount { id: "/x".into(), base: None, root, size, runs }, sent, leases)
    }

    #[test]
    fn what_went_in_comes_out_and_a_change_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Default::default()).unwrap();
        let mut known = Known::default();
        // Half of it can be packed, half of it cannot.
        let mut state = 9_u64;
        let mut stream = vec![b'a'; 6 << 20];
        for byte in &mut stream[3 << 20..] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
        let (first, sent, leases) = save(&store, &mut known, &stream);
        assert!(sent < 4 << 20, "{sent}");
        let mut changed = stream.clone();
        changed[5 << 20] ^= 1;
        let (second, sent_again, more) = save(&store, &mut known, &changed);
        assert!(sent_again * 20 < sent, "{sent_again} after {sent}");
        let index = Index { mounts: vec![first, second], packs: known.packs };
        for (mount, expected) in index.mounts.iter().zip([&stream, &changed]) {
            let mut read = Vec::new();
            ChunkStream::new(&store, &index, mount).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == *expected);
        }
        drop((leases, more));
    }
}
