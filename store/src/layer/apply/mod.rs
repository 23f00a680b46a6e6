//! Layer blob to directory, hashed before and after decompression in the same pass.
//!
//! ```text
//! blob ─> hash ─> inflate ─┬─> hash ─> DiffId            (one thread each)
//!                          └─> tar ─> files under `root`
//! ```
//!
//! A layer comes from a stranger. What it may do is bounded by construction:
//!
//! | a hostile layer | meets |
//! |---|---|
//! | `../../etc/passwd`, `/etc/passwd` | names are taken relative to the root; `..` stops there |
//! | a symlink to `/`, then a file through it | parents are resolved by the kernel inside the root |
//! | a hard link to a host's file | the same, and the last name is never followed |
//! | a device or fifo, then a file of that name | files are made with `O_EXCL`: what was there goes first |
//! | attributes that steer the overlay | `*.overlay.*` is dropped |
//! | endless names, attributes, entries | [`Limits`] |
//! | other bytes than announced | [`Expected`] |
//!
//! In [`Target::Overlay`] deletions become overlay's own marks, and the layer is applied without seeing
//! what is below it, so layers can be applied in parallel. Directories that the layer only passes
//! through have attributes of their own below; they are in [`Applied::implied`] for the caller.

mod inflate;
mod place;
mod remove;
mod write;

use std::io::Read;
use std::os::fd::BorrowedFd;

use slipway_model::media_type::Compression;
use slipway_model::{BlobDigest, DiffId};

use super::error::check;
use super::tar::Reader;
use super::whiteout::Namespace;
use super::{Expected, LayerError};

/// What the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An overlay's upper directory: deletions are kept as marks.
    Overlay(Namespace),
    /// A whole tree, holding the layers below already: deletions are carried out.
    Tree,
    /// What no layer is: every name is one of a file.
    Literal,
}

/// What one layer may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub entries: usize,
    /// Bytes of a name or link target.
    pub name: usize,
    /// Bytes of an extended attribute's value.
    pub xattr: usize,
}

impl Default for Limits {
    /// Linux' own bounds for names and attributes; more entries than any image has.
    fn default() -> Self {
        Self { entries: 8 << 20, name: 4096, xattr: 64 << 10 }
    }
}

/// How to apply a layer.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    pub target: Target,
    pub limits: Limits,
    pub expected: Expected,
}

/// A layer that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub diff_id: DiffId,
    pub blob: BlobDigest,
    /// Bytes of the blob.
    pub size: u64,
    /// How the blob was compressed, by its first bytes.
    pub compression: Compression,
    /// Directories that were made on the way and are not in the layer, outermost first.
    pub implied: Vec<Vec<u8>>,
}

/// Applies the layer read from `blob` to the directory `root`. Blocks. On an error the directory holds
/// part of the layer and is to be thrown away.
pub fn apply(
    blob: &mut (dyn Read + Send),
    root: BorrowedFd<'_>,
    options: ApplyOptions,
) -> Result<Applied, LayerError> {
    let (implied, inflated) = inflate::inflate(blob, |content| {
        let mut reader = Reader::new(content, options.limits.name);
        let mut tree = write::Tree::new(root, options);
        while let Some(entry) = reader.next_entry()? {
            tree.entry(&entry, &mut reader)?;
        }
        tree.finish()
    })?;
    check(&options.expected, inflated.blob, inflated.diff)?;
    Ok(Applied {
        diff_id: DiffId(inflated.diff),
        blob: BlobDigest(inflated.blob),
        size: inflated.size,
        compression: inflated.compression,
        implied,
    })
}

/// The digest of a layer's uncompressed tar, and nothing written anywhere.
pub fn diff_id(blob: &mut (dyn Read + Send)) -> Result<DiffId, LayerError> {
    inflate::inflate(blob, |_| Ok(())).map(|((), inflated)| DiffId(inflated.diff))
}

/// Hands the uncompressed tar of `blob` to `consume`, to be compressed anew or looked at.
pub fn uncompressed<T>(
    blob: &mut (dyn Read + Send),
    consume: impl FnOnce(&mut dyn Read) -> Result<T, LayerError>,
) -> Result<T, LayerError> {
    inflate::inflate(blob, |content| consume(content)).map(|(value, _)| value)
}

#[cfg(test)]
mod tests;
