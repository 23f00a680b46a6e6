//! Which characters of the lines a message is about.
//!
//! Messages quote what they complain of. The first such word that stands in the lines is meant; without
//! one it is the whole first line.

use super::Place;
use crate::dockerfile::Range;

/// Start and end, the end behind the last character. `None` for lines that the file does not have.
pub(super) fn of(message: &str, ranges: &[Range], data: &[u8]) -> Option<(Place, Place)> {
    let lines = lines_of(ranges, data);
    let (first_number, first) = lines.first()?;
    for word in quoted_words(message) {
        for (number, line) in &lines {
            if let Some(at) = position(line, word) {
                return Some(places(*number, line, at, word.len()));
            }
        }
    }
    let trimmed = first.trim();
    let at = first.len() - first.trim_start().len();
    Some(places(*first_number, first, at, trimmed.len()))
}

/// The first word of the lines, in capitals.
pub(super) fn keyword(ranges: &[Range], data: &[u8]) -> Option<String> {
    let lines = lines_of(ranges, data);
    let (_, first) = lines.first()?;
    Some(first.split_whitespace().next()?.to_uppercase())
}

fn lines_of(ranges: &[Range], data: &[u8]) -> Vec<(u32, String)> {
    let (Some(first), Some(last)) =
        (ranges.iter().map(|range| range.start.line).min(), ranges.iter().map(|range| range.end.line).max())
    else {
        return Vec::new();
    };
    let wanted = data.split(|byte| *byte == b'\n').zip(1..).skip_while(|(_, number)| *number < first);
    wanted
        .take_while(|(_, number)| *number <= last)
        .map(|(line, number)| {
            let line = String::from_utf8_lossy(line);
            (number, line.trim_start_matches('\u{feff}').trim_end_matches('\r').to_owned())
        })
        .collect()
}

/// What the message quotes, in order: `"a"`, `'a'`, `--a`, and the last word behind a colon.
fn quoted_words(message: &str) -> Vec<&str> {
    let message = message.rsplit_once(" (did you mean ").map_or(message, |(before, _)| before);
    let mut words = Vec::new();
    for quote in ['"', '\''] {
        words.extend(message.split(quote).skip(1).step_by(2));
    }
    words.extend(message.split(' ').filter(|word| word.len() > 2 && word.starts_with("--")));
    words.extend(message.rsplit_once(": ").map(|(_, last)| last));
    words.retain(|word| !word.is_empty());
    words
}

/// Where the word stands, if not as a part of another.
fn position(line: &str, word: &str) -> Option<usize> {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: usize| {
        let before = line[..at].chars().next_back().is_some_and(joins) && word.starts_with(joins);
        let after = line[at + word.len()..].chars().next().is_some_and(joins) && word.ends_with(joins);
        !before && !after
    };
    line.match_indices(word).map(|(at, _)| at).find(|at| whole(*at))
}

fn places(line: u32, text: &str, at: usize, length: usize) -> (Place, Place) {
    let column = |bytes: usize| {
        let characters = text.get(..bytes).map_or(0, |before| before.chars().count());
        u32::try_from(characters).unwrap_or(u32::MAX - 1) + 1
    };
    (Place { line, column: column(at) }, Place { line, column: column(at + length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, source: &str, marked: &str) {
        let ranges = Range::lines(1, source.lines().count().try_into().unwrap());
        let (start, end) = of(message, &ranges, source.as_bytes()).unwrap();
        let line = source.lines().nth(start.line as usize - 1).unwrap();
        let length = (end.column - start.column) as usize;
        let found: String = line.chars().skip(start.column as usize - 1).take(length).collect();
        assert_eq!((found.as_str(), start.line), (marked, end.line));
    }

    #[test]
    fn the_quoted_word_is_marked() {
        check(
            "dockerfile parse error on line 1: unknown instruction: RUNN (did you mean RUN?)",
            "RUNN a",
            "RUNN",
        );
        check("unknown flag: --form", "COPY \\\n é --form=a b c", "--form");
        check("unsupported mount type \"foo\"", "RUN --mount=type=foo,id=food x", "foo");
        check("unexpected key 'typ' in 'typ=bind'", "RUN --mount=type,typ=bind x", "typ");
        check("FROM requires either one or three arguments", "  FROM a b", "FROM a b");
    }

    #[test]
    fn lines_that_are_not_there_have_no_focus() {
        assert_eq!(of("x", &[], b"a"), None);
        assert_eq!(of("x", &Range::lines(7, 9), b"a"), None);
    }
}
