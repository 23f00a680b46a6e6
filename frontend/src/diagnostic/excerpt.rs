//! A diagnostic as text, with the line it is about.

use std::fmt::Write;

use super::{Diagnostic, Severity};

impl Diagnostic {
    /// `source` is the file; without its line only the words are shown.
    ///
    /// ```text
    /// error: unknown flag: --form (did you mean from?)
    ///  --> Dockerfile:2:6
    ///   |
    /// 2 | COPY --form=build /app /
    ///   |      ^^^^^^
    ///   = expected one of --chown, --from, --chmod, --link, --exclude, --parents
    /// ```
    pub fn text(&self, source: &[u8]) -> String {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = match self.rule.as_str() {
            "" => format!("{kind}: {}\n", self.message),
            rule => format!("{kind}: {rule}: {}\n", self.message),
        };
        let index = usize::try_from(self.start.line).unwrap_or(usize::MAX).checked_sub(1);
        let line = index.and_then(|index| source.split(|byte| *byte == b'\n').nth(index));
        let mut margin = 1;
        // Writing to a String cannot fail.
        if let Some(line) = line {
            let line = String::from_utf8_lossy(line);
            let number = self.start.line.to_string();
            margin = number.len();
            let _ = writeln!(text, "{:margin$}--> {}:{number}:{}", "", self.file, self.start.column);
            let _ = writeln!(text, "{:margin$} |", "");
            let _ = writeln!(text, "{number} | {}", shown(line.trim_end_matches('\r')));
            let _ = writeln!(text, "{:margin$} | {}", "", self.marks(&line));
        }
        if !self.expected.is_empty() && self.severity == Severity::Error {
            let _ = writeln!(text, "{:margin$} = expected {}", "", self.expected);
        }
        if !self.url.is_empty() {
            let _ = writeln!(text, "{:margin$} = see {}", "", self.url);
        }
        text
    }

    /// As wide as what stands above: a tab was shown as one space.
    fn marks(&self, line: &str) -> String {
        let width = line.chars().count();
        let from = usize::try_from(self.start.column).unwrap_or(1).max(1) - 1;
        let to = usize::try_from(self.end.column).unwrap_or(1).max(1) - 1;
        let from = from.min(width);
        format!("{}{}", " ".repeat(from), "^".repeat(to.min(width).saturating_sub(from).max(1)))
    }
}

/// Without characters that would move the marks, or the reader's terminal.
fn shown(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
