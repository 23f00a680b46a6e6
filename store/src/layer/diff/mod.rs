//! What a snapshot changed, as an OCI layer tar: one walk, one pass over the bytes, nothing mounted.
//!
//! Two forms of the same question, answered by the same walk beside the tree below (`lower`):
//!
//! | | [`Form::Overlay`] | [`Form::Tree`] |
//! |---|---|---|
//! | `upper` is | an overlay's upper directory: only what changed | the whole tree |
//! | deleted | character device 0/0, if `lower` has the name | the name is in `lower` only |
//! | replaced directory | opaque attribute: what only `lower` has in it is deleted | cannot be told from a changed one |
//! | unchanged | copied up without a change: the same metadata and content | the same metadata and content |
//!
//! A deletion is always told name by name. "Nothing below is seen" would be shorter for a directory that was made anew,
//! but is true of one `lower` only: merged onto another tree, the layer would take away what it never knew of.
//!
//! Order is by name within a directory, a directory before its content, so that equal trees give equal
//! bytes. Unchanged directories appear only in front of something changed inside them. Sockets are
//! left out. "Same" and the headers are the reference's (containerd `archive`, continuity `fs`), but for
//! files of an upper directory that only differ in their content.

mod header;
mod same;
mod walk;

use std::io::Write;
use std::os::fd::BorrowedFd;

use super::LayerError;

/// How `upper` tells what changed, if anything is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Overlay,
    Tree,
    /// A tree of which no layer is made: any name will do, and times are exact.
    Literal,
}

/// Two trees, by their root directories.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    pub upper: BorrowedFd<'a>,
    /// The merged tree below; `None` below the first layer.
    pub lower: Option<BorrowedFd<'a>>,
    pub form: Form,
}

/// What to change on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// No time after this one: seconds since 1970 (`SOURCE_DATE_EPOCH` with `rewrite-timestamp`).
    pub latest_time: Option<i64>,
}

/// Writes the layer, uncompressed, and gives `out` back.
pub fn write_diff<W: Write>(
    difference: Difference<'_>,
    options: DiffOptions,
    out: W,
) -> Result<W, LayerError> {
    let mut walk = walk::Walk::new(difference.form, options, out);
    walk.directory(difference.upper, difference.lower)?;
    walk.finish()
}

#[cfg(test)]
mod tests;
