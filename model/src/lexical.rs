//! Unix paths as text: cleaning, joining and taking apart, as cache keys and patterns need it.
//!
//! Nothing here looks at a file system, so nothing here may decide where a file is opened: inside a
//! foreign tree that is the kernel's work. Paths are bytes, because file names are. The answers
//! equal those of Go's `path` package, on which cache keys depend (`clean("")` is `.`).

/// The shortest path equal to `path` by text alone: no doubled slashes, no `.`, no inner `..`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    clean_below(path.first() == Some(&b'/'), path)
}

fn clean_below(rooted: bool, path: &[u8]) -> Vec<u8> {
    let root = usize::from(rooted);
    let mut cleaned = Vec::with_capacity(path.len() + 1);
    cleaned.extend_from_slice(&b"/"[..root]);
    // What no `..` takes away: the root, or those `..` that nothing stands before.
    let mut kept = root;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if cleaned.len() > kept => {
                let slash = cleaned[kept..].iter().rposition(|byte| *byte == b'/');
                cleaned.truncate(kept + slash.unwrap_or(0));
            }
            b".." if rooted => {}
            _ => {
                if cleaned.len() > root {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(part);
                if part == b".." {
                    kept = cleaned.len();
                }
            }
        }
    }
    if cleaned.is_empty() {
        cleaned.push(b'.');
    }
    cleaned
}

/// [`clean`] for a path that is text.
pub fn clean_text(path: &str) -> String {
    // Text is cut at slashes only, so it stays text.
    String::from_utf8(clean(path.as_bytes())).unwrap_or_default()
}

/// `path` below `/`, cleaned: `..` cannot climb above it.
pub fn absolute(path: &[u8]) -> Vec<u8> {
    clean_below(true, path)
}

/// [`absolute`] for a path that is text.
pub fn absolute_text(path: &str) -> String {
    String::from_utf8(absolute(path.as_bytes())).unwrap_or_default()
}

/// The last element: `.` of an empty path, `/` of slashes only.
pub fn base(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let trimmed = trim_end_slashes(path);
    match trimmed.iter().rposition(|byte| *byte == b'/') {
        _ if trimmed.is_empty() => b"/",
        Some(slash) => trimmed.get(slash + 1..).unwrap_or_default(),
        None => trimmed,
    }
}

/// All but the last element, cleaned.
pub fn parent(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    clean(path.get(..end).unwrap_or_default())
}

fn trim_end_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn paths_clean_by_text() {
        for (path, cleaned) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../a/..", ".."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("./a/./b/.", "a/b"),
        ] {
            assert_eq!(text(&clean(path.as_bytes())), cleaned, "{path:?}");
        }
        assert_eq!(text(&absolute(b"../x")), "/x");
    }

    #[test]
    fn paths_come_apart() {
        for (path, last, rest) in [
            ("", ".", "."),
            ("/", "/", "/"),
            ("a", "a", "."),
            ("/a", "a", "/"),
            ("/a/b/", "b", "/a/b"),
            ("a/b", "b", "a"),
        ] {
            assert_eq!(text(base(path.as_bytes())), last, "base of {path:?}");
            assert_eq!(text(&parent(path.as_bytes())), rest, "parent of {path:?}");
        }
    }
}
