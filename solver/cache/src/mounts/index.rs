//! The index: mounts, their chunks, and where those are.
//!
//! It comes from strangers: [`Index::parse`] looks at every number before anybody follows it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use slipway_model::{BlobDigest, Descriptor, Digest};

use super::chunker::LARGEST_CHUNK;
use super::{INDEX_TYPE, PACK_TYPE};
use crate::error::{Error, Result};

/// A larger one would be that of a terabyte of mounts.
pub const LARGEST_INDEX: u64 = 512 << 20;
/// Of one mount: a terabyte.
const MOST_CHUNKS: usize = 1 << 24;
/// A pack of which less than this part is needed is packed anew.
const SPARSE: u64 = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub mounts: Vec<SavedMount>,
    pub packs: Vec<PackEntry>,
}

/// The contents of one mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMount {
    pub id: String,
    /// The content digest of what the mount began with, if it began with something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    pub root: Root,
    /// Bytes of its stream.
    pub size: u64,
    /// The stream: a pack, the first of its chunks, and how many of them.
    pub runs: Vec<(usize, usize, usize)>,
}

/// The directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    pub digest: BlobDigest,
    /// In the order in which they are in the pack, without gaps.
    pub chunks: Vec<ChunkEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Of the chunk as it is in the stream.
    pub digest: Digest,
    pub length: u32,
    /// Bytes in the pack; as many as its length if it is not packed.
    pub stored: u32,
}

impl PackEntry {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.stored)).sum()
    }

    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(PACK_TYPE, self.digest, self.size())
    }
}

impl Index {
    /// What `bytes`, an index as it is stored, says.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let told = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
        let told = told.filter(|told| *told <= LARGEST_INDEX);
        let capacity = told.ok_or(Error::Broken("the index of cache mounts has no possible size"))?;
        let json = zstd::bulk::decompress(bytes, capacity as usize).map_err(Error::Pack)?;
        let index: Self = serde_json::from_slice(&json).map_err(Error::Config)?;
        index.check()?;
        Ok(index)
    }

    /// As it is stored, and its descriptor.
    pub fn to_blob(&self) -> Result<(Vec<u8>, Descriptor)> {
        let json = serde_json::to_vec(self).map_err(Error::Config)?;
        let bytes = zstd::bulk::compress(&json, 3).map_err(Error::Pack)?;
        let digest = BlobDigest(Digest::of(&bytes));
        let descriptor = Descriptor::new(INDEX_TYPE, digest, bytes.len() as u64);
        Ok((bytes, descriptor))
    }

    pub fn find(&self, id: &str, base: Option<&Digest>) -> Option<&SavedMount> {
        self.mounts.iter().find(|mount| mount.id == id && mount.base.as_ref() == base)
    }

    /// The chunks of `mount` in the order of its stream: pack and place in it.
    pub fn chunks<'a>(&'a self, mount: &'a SavedMount) -> impl Iterator<Item = (usize, usize)> + 'a {
        mount.runs.iter().flat_map(|(pack, first, count)| (*first..first + count).map(|chunk| (*pack, chunk)))
    }

    /// For each pack, whether so little of it is needed that it is better made anew.
    pub fn sparse_packs(&self) -> Vec<bool> {
        let mut needed: Vec<Vec<bool>> =
            self.packs.iter().map(|pack| vec![false; pack.chunks.len()]).collect();
        for (pack, chunk) in self.mounts.iter().flat_map(|mount| self.chunks(mount)) {
            needed[pack][chunk] = true;
        }
        let is_sparse = |(pack, needed): (&PackEntry, &Vec<bool>)| {
            let live = pack.chunks.iter().zip(needed).filter(|(_, needed)| **needed);
            live.map(|(chunk, _)| u64::from(chunk.stored)).sum::<u64>() * SPARSE < pack.size()
        };
        self.packs.iter().zip(&needed).map(is_sparse).collect()
    }

    /// Without packs that no mount needs.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        let mut places = BTreeMap::new();
        for (pack, ..) in self.mounts.iter().flat_map(|mount| &mount.runs) {
            let next = places.len();
            places.entry(*pack).or_insert(next);
        }
        for (pack, ..) in self.mounts.iter_mut().flat_map(|mount| &mut mount.runs) {
            *pack = places[pack];
        }
        let mut packs: Vec<(usize, PackEntry)> = std::mem::take(&mut self.packs)
            .into_iter()
            .enumerate()
            .filter_map(|(pack, entry)| Some((*places.get(&pack)?, entry)))
            .collect();
        packs.sort_by_key(|(place, _)| *place);
        self.packs = packs.into_iter().map(|(_, entry)| entry).collect();
        self
    }

    fn check(&self) -> Result<()> {
        for chunk in self.packs.iter().flat_map(|pack| &pack.chunks) {
            if chunk.length as usize > LARGEST_CHUNK || chunk.stored > chunk.length || chunk.stored == 0 {
                return Err(Error::Broken("a chunk of a cache mount has no possible size"));
            }
        }
        for mount in &self.mounts {
            let mut all = 0_usize;
            for (pack, first, count) in &mount.runs {
                all = all.saturating_add(*count);
                if all > MOST_CHUNKS {
                    return Err(Error::Broken("a cache mount has too many chunks"));
                }
                let chunks = self.packs.get(*pack).map_or(0, |pack| pack.chunks.len());
                if first.checked_add(*count).is_none_or(|end| end > chunks) {
                    return Err(Error::Broken("a cache mount is made of chunks that are not listed"));
                }
            }
            let lengths =
                self.chunks(mount).map(|(pack, chunk)| u64::from(self.packs[pack].chunks[chunk].length));
            if lengths.sum::<u64>() != mount.size {
                return Err(Error::Broken("a cache mount is not as large as its chunks"));
            }
        }
        Ok(())
    }
}

/// Chunks that are known to be somewhere, by digest.
#[derive(Default)]
pub struct Known {
    chunks: HashMap<Digest, (usize, usize)>,
    pub packs: Vec<PackEntry>,
}

impl Known {
    /// All chunks of `pack`, unless they are known to be elsewhere; gives its place.
    pub fn add(&mut self, pack: PackEntry) -> usize {
        let place = self.packs.len();
        for (index, chunk) in pack.chunks.iter().enumerate() {
            self.chunks.entry(chunk.digest).or_insert((place, index));
        }
        self.packs.push(pack);
        place
    }

    /// Names a pack whose chunks are not to be used by others.
    pub fn add_silently(&mut self, pack: PackEntry) -> usize {
        self.packs.push(pack);
        self.packs.len() - 1
    }

    pub fn find(&self, chunk: &Digest) -> Option<(usize, usize)> {
        self.chunks.get(chunk).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &str, length: u32) -> ChunkEntry {
        ChunkEntry { digest: Digest::of(name.as_bytes()), length, stored: length }
    }

    fn pack(name: &str, chunks: Vec<ChunkEntry>) -> PackEntry {
        PackEntry { digest: BlobDigest(Digest::of(name.as_bytes())), chunks }
    }

    fn mount(id: &str, size: u64, runs: Vec<(usize, usize, usize)>) -> SavedMount {
        SavedMount { id: id.into(), base: None, root: Root { mode: 0o755, uid: 0, gid: 0 }, size, runs }
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let packs = vec![pack("one", vec![chunk("a", 10), chunk("b", 20)]), pack("two", vec![chunk("c", 5)])];
        let index = Index { mounts: vec![mount("/go", 25, vec![(1, 0, 1), (0, 1, 1)])], packs };
        let (bytes, descriptor) = index.to_blob().unwrap();
        assert_eq!(Index::parse(&bytes).unwrap(), index);
        assert_eq!((descriptor.size, descriptor.media_type.as_str()), (bytes.len() as u64, INDEX_TYPE));
        assert_eq!(index.chunks(&index.mounts[0]).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
        assert_eq!(index.sparse_packs(), [false, false]);
    }

    #[test]
    fn what_nobody_needs_is_left_out() {
        let packs = vec![
            pack("old", vec![chunk("x", 9)]),
            pack("one", vec![chunk("a", 10), chunk("b", 90)]),
            pack("two", vec![chunk("c", 5)]),
        ];
        let index = Index { mounts: vec![mount("/go", 15, vec![(2, 0, 1), (1, 0, 1)])], packs }.trimmed();
        assert_eq!(index.packs.len(), 2);
        assert_eq!(index.mounts[0].runs, [(0, 0, 1), (1, 0, 1)]);
        index.check().unwrap();
        assert_eq!(index.sparse_packs(), [false, true]);
    }

    #[test]
    fn numbers_that_lead_nowhere_are_refused() {
        let packs = || vec![pack("one", vec![chunk("a", 10)])];
        for runs in [vec![(1, 0, 1)], vec![(0, 1, 1)], vec![(0, usize::MAX, 2)], vec![(0, 0, 1), (0, 0, 1)]] {
            let index = Index { mounts: vec![mount("/go", 10, runs)], packs: packs() };
            assert!(Index::parse(&index.to_blob().unwrap().0).is_err());
        }
        let mut large = Index { mounts: Vec::new(), packs: packs() };
        large.packs[0].chunks[0].length = u32::MAX;
        assert!(Index::parse(&large.to_blob().unwrap().0).is_err());
        assert!(Index::parse(b"no zstd").is_err());
    }
}
