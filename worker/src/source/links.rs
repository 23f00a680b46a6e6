//! Which paths of snapshots the files of a client's directory are linked to.
//!
//! Copies of a client's files share their bytes with it. Who reads a tree of several layers (a copy from
//! it, an export of it as a whole) takes two names of one file for a hard link, which must not come about
//! by our linking. So every file has one path at which it may appear in snapshots, however many; at any
//! other it is a copy. Below a directory that was copied that path follows from where the directory went:
//! a list of pairs is enough, of which no source lies inside another.

use parking_lot::Mutex;

/// Pairs are looked through one by one; past this many there are no more.
const MOST: usize = 256;

type Pair = (Vec<u8>, Vec<u8>);

/// What went where. Paths are absolute and without links.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Vec<Pair>>);

impl Links {
    /// Whether what is at `source` may be linked to `target`; if so, nowhere else from now on. What was not known is
    /// so only after `note`, if that says so.
    pub(super) fn claim(&self, source: &[u8], target: &[u8], note: impl FnOnce() -> bool) -> bool {
        let mut pairs = self.0.lock();
        let overlapping =
            pairs.iter().find(|(known, _)| is_within(known, source) || is_within(source, known));
        match overlapping {
            Some((known, place)) => known == source && place == target,
            None if pairs.len() >= MOST || !note() => false,
            None => {
                pairs.push((source.to_vec(), target.to_vec()));
                true
            }
        }
    }

    /// Paths hold no NUL.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let pairs = self.0.lock();
        pairs.iter().flat_map(|(source, target)| [source, b"\0".as_slice(), target, b"\0"].concat()).collect()
    }

    /// `None` if it is not whole.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut paths: Vec<_> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        if paths.pop().is_some_and(|rest| !rest.is_empty()) || !paths.len().is_multiple_of(2) {
            return None;
        }
        let pairs = paths.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Some(Self(Mutex::new(pairs.collect())))
    }
}

fn is_within(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory.strip_suffix(b"/").unwrap_or(directory));
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_path() {
        let (links, note) = (Links::default(), || true);
        assert!(!links.claim(b"/src", b"/nowhere", || false));
        assert!(links.claim(b"/src", b"/app/src", note));
        assert!(links.claim(b"/src2", b"/app/other", note));
        let links = Links::from_bytes(&links.to_bytes()).unwrap();
        assert!(links.claim(b"/src", b"/app/src", || false), "again");
        assert!(!links.claim(b"/src", b"/elsewhere", note));
        assert!(!links.claim(b"/src/deep", b"/app/src/deep", note));
        assert!(!links.claim(b"/", b"/", note));
    }

    #[test]
    fn half_a_list_is_none() {
        let links = Links::default();
        assert!(links.claim(b"/", b"/app", || true));
        let bytes = links.to_bytes();
        assert_eq!(bytes, b"/\0/app\0");
        for length in 1..bytes.len() {
            assert!(Links::from_bytes(&bytes[..length]).is_none(), "{length}");
        }
        assert!(Links::from_bytes(b"").is_some());
    }
}
