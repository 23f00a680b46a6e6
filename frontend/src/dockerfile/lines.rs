//! Physical lines of a file.

use std::borrow::Cow;

use super::Fault;

/// The longest line, its end included, in bytes. The reference reads no longer ones either.
pub(super) const MAX_LINE: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Lines with their ends (`\n`, `\r\n`), counted.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// How many were read: the number of the last one, from 1.
    pub(super) number: u32,
    /// Set at a line that is too long, where reading stops.
    pub(super) too_long: Option<Fault>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a [u8]) -> Self {
        Self { rest: without_byte_order_mark(source), number: 0, too_long: None }
    }

    /// Bytes that are not UTF-8 become U+FFFD.
    pub(super) fn next(&mut self) -> Option<Cow<'a, str>> {
        if self.rest.is_empty() || self.too_long.is_some() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(self.rest.len() + 1, |end| end + 1);
        if length > MAX_LINE {
            self.too_long = Some(Fault::LongLine(MAX_LINE - 1));
            return None;
        }
        let (line, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        self.number += 1;
        Some(String::from_utf8_lossy(line))
    }
}

pub(super) fn without_byte_order_mark(source: &[u8]) -> &[u8] {
    source.strip_prefix(BYTE_ORDER_MARK).unwrap_or(source)
}

pub(super) fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without the escape character that continues it; `None` if it is not continued.
///
/// The escape must be last but for spaces, and not itself be escaped. (Three in a row count as
/// escaped: the reference looks at one character only.)
pub(super) fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}
