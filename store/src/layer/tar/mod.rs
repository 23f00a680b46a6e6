//! The tar format as image layers use it: USTAR with PAX records, as Go's `archive/tar` writes it.
//!
//! Why not a general archive library: a layer's bytes *are* its identity, so the writer decides every
//! field; and what is read comes from strangers, so the reader bounds everything it keeps.
//!
//! | part | what |
//! |---|---|
//! | [`entry`] | one member: name, kind, owner, times, extended attributes |
//! | [`writer`] | entries to bytes; USTAR where it fits, else a PAX header in front |
//! | [`reader`] | bytes to entries: USTAR, V7, GNU long names, PAX |
//! | [`pax`] | the records of a PAX header |
//! | [`sparse`] | the maps of sparse files: old GNU, PAX 0.0, 0.1 and 1.0 |
//!
//! Absent: writing sparse members (a layer's digest must not depend on holes), global PAX headers
//! (read and ignored, as the reference does), multi-volume archives.

pub mod entry;
pub mod pax;
pub mod reader;
pub mod sparse;
pub mod writer;

pub use entry::{Entry, Kind};
pub use reader::Reader;
pub use writer::Writer;

/// The size of a tar block; every header and every member's data is padded to it.
pub const BLOCK: usize = 512;

/// Where the fields of a header block are (POSIX.1-1988, "ustar").
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const UID: Range<usize> = 108..116;
    pub(crate) const GID: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const MTIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const TYPE: usize = 156;
    pub(crate) const LINK: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
    pub(crate) const DEVICE_MAJOR: Range<usize> = 329..337;
    pub(crate) const DEVICE_MINOR: Range<usize> = 337..345;
    pub(crate) const PREFIX: Range<usize> = 345..500;
}

/// The sum of a header's bytes, its checksum field taken as spaces; unsigned and signed (old tars).
pub(crate) fn checksums(block: &[u8; BLOCK]) -> (u64, i64) {
    let byte = |(i, b): (usize, &u8)| if field::CHECKSUM.contains(&i) { b' ' } else { *b };
    block
        .iter()
        .enumerate()
        .map(byte)
        .fold((0, 0), |(unsigned, signed), b| (unsigned + u64::from(b), signed + i64::from(b.cast_signed())))
}
