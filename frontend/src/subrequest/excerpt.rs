//! The lines of a file that a message is about.

use crate::dockerfile::Range;

/// The lines meant, and some around them: the same ones as the reference's clients show.
pub(super) fn excerpt(ranges: &[Range], file_name: &str, lines: &[&str]) -> String {
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
    let mut text = format!("{file_name}:{first}\n{rule}");
    let mut is_meant = vec![false; end - start + 1];
    for range in ranges {
        for number in line(range.start.line).max(start)..=line(range.end.line).min(end) {
            is_meant[number - start] = true;
        }
    }
    for ((number, content), is_meant) in (start..=end).zip(&lines[start - 1..]).zip(is_meant) {
        let mark = if is_meant { ">>>" } else { "   " };
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
