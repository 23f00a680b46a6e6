//! The order of a transfer, and what a receiver already has.

use std::cmp::Ordering;

use slipway_proto::fsutil::Stat;

use super::mode;

/// Compares paths in walk order: component by component, so that `a/b` comes before `a-b`.
pub fn compare_paths(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// Whether the receiver's copy still is what the sender has; then it is not sent again.
pub fn is_unchanged(here: &Stat, there: &Stat) -> bool {
    let same = here.mode == there.mode
        && here.uid == there.uid
        && here.gid == there.gid
        && here.linkname == there.linkname
        && here.devmajor == there.devmajor
        && here.devminor == there.devminor
        && here.xattrs == there.xattrs;
    same && (mode::is_directory(there.mode) || (here.size == there.size && here.mod_time == there.mod_time))
}
