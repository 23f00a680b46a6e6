//! The lines of a file that a message is about.

use crate::dockerfile::Range;
use crate::plan::context::Entry;

/// The lines meant, and some around them: the same ones as the reference's clients show.
pub(super) fn excerpt(ranges: &[Range], entry: &Entry) -> String {
    let data = String::from_utf8_lossy(&entry.data);
    let lines: Vec<&str> = data.split('\n').collect();
    let line = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let (Some(first), Some(last)) = (
        ranges.iter().map(|range| line(range.start.line)).min(),
        ranges.iter().map(|range| line(range.end.line)).max(),
    ) else {
        return String::new();
    };
    if !(1..=lines.len()).contains(&first) {
        return String::new();
    }
    let (start, end) = with_surroundings(first, last.clamp(first, lines.len()), lines.len());
    let rule = "--------------------\n";
    let mut text = format!("{}:{first}\n{rule}", entry.info.filename);
    for (number, content) in (start..=end).zip(&lines[start - 1..]) {
        let is_meant = |range: &Range| (line(range.start.line)..=line(range.end.line)).contains(&number);
        let mark = if ranges.iter().any(is_meant) { ">>>" } else { "   " };
        text.push_str(&format!(" {number:3} | {mark} {content}\n"));
    }
    text.push_str(rule);
    text
}

/// One line gets more lines around it than several.
fn with_surroundings(mut start: usize, mut end: usize, count: usize) -> (usize, usize) {
    let wanted = if start == end { 4 } else { 2 };
    let mut added = 0;
    while added < wanted {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end < count {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    (start, end)
}
