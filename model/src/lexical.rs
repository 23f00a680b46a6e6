//! Unix paths as text: cleaning, joining and taking apart, as cache keys and patterns need it.
//!
//! Nothing here looks at a file system, so nothing here may decide where a file is opened: inside a
//! foreign tree that is the kernel's work. Paths are bytes, because file names are. The answers
//! equal those of Go's `path` package, on which cache keys depend (`clean("")` is `.`).

/// The shortest path equal to `path` by text alone: no doubled slashes, no `.`, no inner `..`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// [`clean`] for a path that is text.
pub fn clean_text(path: &str) -> String {
    String::from_utf8_lossy(&clean(path.as_bytes())).into_owned()
}

/// `path` below `/`, cleaned: `..` cannot climb above it.
pub fn absolute(path: &[u8]) -> Vec<u8> {
    clean(&[b"/", path].concat())
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
