//! Trees of which only the stats are sent, but for some files.
//!
//! All stats go into the file `.fsutil-metadata` of the tree: for each its length (four bytes, the lowest first) and
//! the message. Of the directories those are made in which something is wanted.

use prost::Message as _;
use slipway_proto::fsutil::Stat;

use super::mode;
use super::receive::Wanting;

const FILE: &str = ".fsutil-metadata";

pub(super) struct Metadata {
    wanting: Wanting,
    file: Vec<u8>,
    /// The directories that lead to the last path and were not made yet.
    above: Vec<Stat>,
}

impl Metadata {
    pub(super) fn new(wanting: Wanting) -> Self {
        Self { wanting, file: Vec::new(), above: Vec::new() }
    }

    /// Writes `stat` down. If it is wanted: directories to make before it.
    pub(super) fn note(&mut self, stat: &Stat) -> Option<Vec<Stat>> {
        if stat.path == FILE {
            return None;
        }
        let bytes = stat.encode_to_vec();
        self.file.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.file.extend_from_slice(&bytes);
        let is_above = |directory: &Stat| {
            stat.path.strip_prefix(&directory.path).is_some_and(|rest| rest.starts_with('/'))
        };
        while self.above.pop_if(|directory| !is_above(directory)).is_some() {}
        if (self.wanting)(&stat.path) {
            return Some(std::mem::take(&mut self.above));
        }
        if mode::is_directory(stat.mode) {
            self.above.push(stat.clone());
        }
        None
    }

    /// The file, and what it is. It has no time: that of the transfer would be another one each time.
    pub(super) fn finish(self) -> (Stat, Vec<u8>) {
        let size = i64::try_from(self.file.len()).unwrap_or(i64::MAX);
        let mode = mode::from_unix(0o100_644);
        (Stat { path: FILE.into(), mode, size, ..Stat::default() }, self.file)
    }
}
