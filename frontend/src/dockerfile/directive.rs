//! Parser directives: comments of the form `# name=value` before anything else.
//!
//! The first line that is none ends them, be it a comment or empty. Names are `syntax`, `escape` and
//! `check`, each at most once.

use super::{Fault, Range, lines};

/// What a file asks for about its own reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub syntax: Option<Directive>,
    pub escape: Option<Directive>,
    pub check: Option<Directive>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    pub name: String,
    pub value: String,
    pub range: Range,
}

impl Directive {
    /// The value up to its first space: of `syntax`, the frontend image.
    pub fn first_word(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }
}

/// Which frontend a file of any language asks for: `# syntax=`, `// syntax=`, or the member
/// `syntax` of a JSON object. A `#!` line before is passed over.
pub fn detect_syntax(source: &[u8]) -> Option<Directive> {
    find("syntax", source).or_else(|| scan("syntax", source, "//")).or_else(|| json("syntax", source))
}

/// A directive of a Dockerfile; a `#!` line before is passed over.
pub fn find(name: &str, source: &[u8]) -> Option<Directive> {
    scan(name, source, "#")
}

/// A directive written in a comment above an instruction: `# check=skip=…`. `comment` is without `#`.
pub fn in_comment(comment: &str) -> Option<Directive> {
    DirectiveReader { comment: "", ..DirectiveReader::default() }.read(comment).ok()?
}

fn scan(name: &str, source: &[u8], comment: &'static str) -> Option<Directive> {
    let (source, first) = without_shebang(source);
    let mut reader = DirectiveReader { comment, line: first, ..DirectiveReader::default() };
    for line in source.split(|byte| *byte == b'\n') {
        if line.len() >= lines::MAX_LINE {
            return None;
        }
        let line = String::from_utf8_lossy(line);
        let directive = reader.read(line.strip_suffix('\r').unwrap_or(&line)).ok()??;
        if directive.name == name {
            return Some(directive);
        }
    }
    None
}

fn json(name: &str, source: &[u8]) -> Option<Directive> {
    let (source, line) = without_shebang(source);
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(source).ok()?;
    let value = object.get(name)?.as_str()?.to_owned();
    Some(Directive { name: name.to_owned(), value, range: Range::line(line) })
}

/// The source behind it, and how many lines that skips.
fn without_shebang(source: &[u8]) -> (&[u8], u32) {
    let source = lines::without_byte_order_mark(source);
    if !source.starts_with(b"#!") {
        return (source, 0);
    }
    let end = source.iter().position(|byte| *byte == b'\n').map_or(source.len(), |end| end + 1);
    (&source[end..], 1)
}

/// Fed with lines, from the first on.
pub(super) struct DirectiveReader {
    comment: &'static str,
    line: u32,
    seen: Vec<String>,
    done: bool,
}

impl Default for DirectiveReader {
    fn default() -> Self {
        Self { comment: "#", line: 0, seen: Vec::new(), done: false }
    }
}

impl DirectiveReader {
    pub(super) fn read(&mut self, line: &str) -> Result<Option<Directive>, Fault> {
        self.line += 1;
        if self.done {
            return Ok(None);
        }
        let pair = line.strip_prefix(self.comment).and_then(|text| name_and_value(text.trim_start()));
        let Some((name, value)) =
            pair.filter(|(name, _)| ["syntax", "escape", "check"].contains(&name.as_str()))
        else {
            self.done = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(Fault::RepeatedDirective(name));
        }
        self.seen.push(name.clone());
        Ok(Some(Directive { name, value, range: Range::line(self.line) }))
    }
}

/// `name = value`, the name in lower case. A value of nothing but spaces is its last space.
fn name_and_value(text: &str) -> Option<(String, String)> {
    const SPACES: [char; 5] = [' ', '\t', '\n', '\x0c', '\r'];
    let (name, value) = text.split_once('=')?;
    let name = name.trim_end_matches(SPACES);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = match value.trim_matches(SPACES) {
        "" => &value[value.len().checked_sub(1)?..],
        value => value,
    };
    Some((name.to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: Option<(&str, u32)>) {
        let found = detect_syntax(source.as_bytes());
        assert_eq!(found.as_ref().map(|found| (found.value.as_str(), found.range.start.line)), expected);
    }

    #[test]
    fn syntax_is_found_in_every_style() {
        check("# syntax = a/b:1 flags \nFROM x", Some(("a/b:1 flags", 1)));
        check("\u{feff}#syntax=a\r\n", Some(("a", 1)));
        check("# escape=`\n# SYNTAX=a\n", Some(("a", 2)));
        check("#!/usr/bin/env x\n# syntax=a\n", Some(("a", 2)));
        check("// syntax=a\n{}", Some(("a", 1)));
        check("{\"syntax\": \"a\"}", Some(("a", 0)));
        check("#!/x\n{\"syntax\": \"a\"}", Some(("a", 1)));
    }

    #[test]
    fn other_lines_end_the_directives() {
        check("\n# syntax=a\n", None);
        check("# a comment\n# syntax=a\n", None);
        check("# other=b\n# syntax=a\n", None);
        check("FROM x\n# syntax=a\n", None);
        check("# syntax=\n", None);
        check("", None);
        check("{\"syntax\": 1}", None);
    }

    #[test]
    fn the_first_word_names_the_image() {
        assert_eq!(detect_syntax(b"# syntax=a/b:1 --flag").unwrap().first_word(), "a/b:1");
    }

    #[test]
    fn comments_may_hold_one() {
        assert_eq!(in_comment("check=skip=all").unwrap().value, "skip=all");
        assert_eq!(in_comment("checked"), None);
    }
}
