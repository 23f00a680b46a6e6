//! Whether a pattern is well-formed, by the rules of Go's `filepath.Match`, with which the reference
//! checks patterns before it reads them in its own way.

/// A class needs a member, its ranges both ends, and its `]`; an escape needs what it escapes.
pub(super) fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern;
    while !rest.is_empty() {
        rest = rest.trim_start_matches('*');
        let (chunk, after) = rest.split_at(chunk_length(rest));
        if check_chunk(chunk).is_none() {
            return false;
        }
        rest = after;
    }
    true
}

/// Up to the next `*` outside a class.
fn chunk_length(pattern: &str) -> usize {
    let mut in_class = false;
    let mut bytes = pattern.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => return at,
            _ => {}
        }
    }
    pattern.len()
}

fn check_chunk(chunk: &str) -> Option<()> {
    let mut rest = chunk;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '[' => rest = check_class(rest)?,
            '\\' => rest = &rest[rest.chars().next()?.len_utf8()..],
            _ => {}
        }
    }
    Some(())
}

/// What follows a class whose `[` is read.
fn check_class(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('^').unwrap_or(text);
    let mut members = 0;
    loop {
        if members > 0
            && let Some(after) = rest.strip_prefix(']')
        {
            return Some(after);
        }
        rest = class_member(rest)?;
        if let Some(end) = rest.strip_prefix('-') {
            rest = class_member(end)?;
        }
        members += 1;
    }
}

/// What follows one member; something must.
fn class_member(text: &str) -> Option<&str> {
    if text.starts_with(['-', ']']) {
        return None;
    }
    let text = text.strip_prefix('\\').unwrap_or(text);
    let rest = &text[text.chars().next()?.len_utf8()..];
    (!rest.is_empty()).then_some(rest)
}
