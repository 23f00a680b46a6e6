//! Which files changed: two lists of the same part of two trees, merged.

use std::cmp::Ordering;

use slipway_store::content_hash::{Manifest, ManifestEntry, Part};

use crate::cause::FileChange;

/// Changes that are kept; the rest is counted.
const MOST: usize = 50;

/// Where entries of each selector are, for people: [`slipway_store::content_hash::Selector::base`].
pub type Bases<'a> = &'a [String];

/// What `parts` says of an entry that is in both lists with different digests is told; `None` where no list
/// shows a difference although one of them is not whole.
pub fn changes(
    old: &Manifest,
    new: &Manifest,
    bases: Bases<'_>,
    parts: impl Fn(&ManifestEntry, &ManifestEntry) -> Vec<Part>,
) -> Option<(Vec<FileChange>, usize)> {
    let (mut changes, mut more) = (Vec::new(), 0);
    let mut take = |entry: &ManifestEntry, what: &dyn Fn() -> Vec<String>| {
        if changes.len() < MOST {
            changes.push(FileChange { path: path(entry, bases), what: what() });
        } else {
            more += 1;
        }
    };
    // Beyond the end of a list that was cut, nothing can be said.
    let known = |list: &Manifest, entry: &ManifestEntry| {
        list.left_out == 0 || list.entries.last().is_some_and(|last| entry.name() <= last.name())
    };
    let (mut olds, mut news) = (old.entries.iter().peekable(), new.entries.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.name().cmp(&other.name()),
        };
        let before = if order.is_le() { olds.next() } else { None };
        let now = if order.is_ge() { news.next() } else { None };
        match (before, now) {
            (Some(before), None) if known(new, before) => take(before, &|| vec!["removed".into()]),
            (None, Some(now)) if known(old, now) => take(now, &|| vec!["added".into()]),
            (Some(before), Some(now)) if before.digest != now.digest => {
                take(now, &|| parts(before, now).iter().map(|part| said(*part, before, now)).collect());
            }
            _ => {}
        }
    }
    (!changes.is_empty()).then_some((changes, more))
}

fn path(entry: &ManifestEntry, bases: Bases<'_>) -> String {
    let base = bases.get(entry.selector).map(String::as_str).unwrap_or_default();
    let path = format!("{base}{}", String::from_utf8_lossy(&entry.path));
    if path.is_empty() { "/".into() } else { path }
}

fn said(part: Part, before: &ManifestEntry, now: &ManifestEntry) -> String {
    match part {
        Part::Type => "type".into(),
        Part::Content => "content".into(),
        Part::Mode => format!("mode {:04o} → {:04o}", before.permissions(), now.permissions()),
        Part::Owner => format!("owner {}:{} → {}:{}", before.uid, before.gid, now.uid, now.gid),
        Part::Attributes => "attributes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(entries: &[(&str, u8)], left_out: usize) -> Manifest {
        let entry = |(path, digest): &(&str, u8)| ManifestEntry {
            selector: 0,
            path: path.as_bytes().to_vec(),
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            size: 1,
            digest: [*digest; 16],
        };
        Manifest { entries: entries.iter().map(entry).collect(), left_out }
    }

    fn said(old: &Manifest, new: &Manifest) -> Vec<String> {
        let found = changes(old, new, &[], |_, _| vec![Part::Content]);
        found
            .into_iter()
            .flat_map(|(changes, _)| changes)
            .map(|c| format!("{} {}", c.path, c.what[0]))
            .collect()
    }

    #[test]
    fn lists_are_merged_by_path() {
        let old = manifest(&[("/a", 1), ("/b", 1), ("/d", 1)], 0);
        let new = manifest(&[("/a", 1), ("/b", 2), ("/c", 1)], 0);
        assert_eq!(said(&old, &new), ["/b content", "/c added", "/d removed"]);
        assert_eq!(changes(&old, &old, &[], |_, _| Vec::new()), None);
    }

    #[test]
    fn nothing_is_said_of_what_a_cut_list_does_not_show() {
        let old = manifest(&[("/a", 1), ("/b", 1)], 3);
        let new = manifest(&[("/a", 2), ("/b", 1), ("/c", 1)], 0);
        assert_eq!(said(&old, &new), ["/a content"]);
    }

    #[test]
    fn many_changes_are_counted() {
        let names: Vec<String> = (0..80).map(|index| format!("/{index:02}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let (changes, more) =
            changes(&manifest(&[], 0), &manifest(&entries, 0), &[], |_, _| Vec::new()).unwrap();
        assert_eq!((changes.len(), more), (50, 30));
    }
}
