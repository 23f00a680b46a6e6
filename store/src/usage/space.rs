//! How many bytes may stay.

use std::path::Path;

use super::PruneOptions;
use crate::error::{At as _, Result};

/// Free bytes on the filesystem of `root`.
pub(super) fn free(root: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(root).at("ask for the free space of", root)?;
    Ok(stat.f_bfree.saturating_mul(stat.f_frsize))
}

/// The bytes that may stay of `total`; `None` if there is no limit and all that matches goes.
///
/// At most `max_used_space`, less if that leaves less than `min_free_space` free, but never less than
/// `reserved_space`. Zero means that the option is not given.
pub(super) fn limit(options: &PruneOptions, total: u64, free: u64) -> Option<u64> {
    let PruneOptions { reserved_space, max_used_space, min_free_space, .. } = *options;
    if reserved_space == 0 && max_used_space == 0 && min_free_space == 0 {
        return None;
    }
    let mut keep = max_used_space;
    let missing = min_free_space.saturating_sub(free);
    if missing > 0 {
        let left = total.saturating_sub(missing);
        keep = if max_used_space == 0 { left } else { keep.min(left) };
    } else if min_free_space > 0 && max_used_space == 0 {
        keep = total;
    }
    Some(keep.max(reserved_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_three_options() {
        let keep = |reserved_space, max_used_space, min_free_space, free| {
            let options =
                PruneOptions { reserved_space, max_used_space, min_free_space, ..PruneOptions::default() };
            limit(&options, 100, free)
        };
        assert_eq!(keep(0, 0, 0, 0), None);
        assert_eq!(keep(10, 0, 0, 50), Some(10));
        assert_eq!(keep(0, 60, 0, 50), Some(60));
        assert_eq!(keep(70, 60, 0, 50), Some(70));
        assert_eq!(keep(0, 0, 40, 50), Some(100));
        assert_eq!(keep(0, 0, 80, 50), Some(70));
        assert_eq!(keep(0, 60, 80, 50), Some(60));
        assert_eq!(keep(0, 90, 80, 50), Some(70));
        assert_eq!(keep(80, 90, 80, 50), Some(80));
        assert_eq!(keep(0, 0, 500, 50), Some(0), "all of it goes, yet as by a limit");
    }
}
