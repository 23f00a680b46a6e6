//! What every match begins and ends with: most paths are refused by it, without following an expression.

use super::{Set, Step};

/// The text that must be taken first.
pub(super) fn prefix(steps: &[Step]) -> String {
    steps.iter().map_while(Step::literal).collect()
}

/// The text that must be taken last: behind everything that an alternative can lead to.
pub(super) fn suffix(steps: &[Step]) -> String {
    let led_to = steps.iter().map(|step| match step {
        Step::Either(one, other) => *one.max(other),
        Step::One(_) | Step::At(_) => 0,
    });
    let behind = steps.get(led_to.max().unwrap_or(0)..).unwrap_or_default();
    let literals: Vec<char> = behind.iter().rev().map_while(Step::literal).collect();
    literals.into_iter().rev().collect()
}

impl Step {
    /// The one character that it takes. Bytes that are no characters are taken for the replacement character.
    fn literal(&self) -> Option<char> {
        let Self::One(Set { negated: false, ranges, complements }) = self else { return None };
        match ranges[..] {
            [(low, high)] if low == high && complements.is_empty() => Some(low),
            _ => None,
        }
        .filter(|character| *character != char::REPLACEMENT_CHARACTER)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expression;

    fn check(expression: &str, text: &str) -> bool {
        Expression::parse(expression).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn what_a_match_begins_and_ends_with() {
        let ends = |text: &str| {
            let Expression { prefix, suffix, .. } = Expression::parse(text).unwrap();
            (prefix, suffix)
        };
        let of = |prefix: &str, suffix: &str| (prefix.to_owned(), suffix.to_owned());
        assert_eq!(ends("ab[^/]*\\.go"), of("ab", ".go"));
        assert_eq!(ends("(.*/)?x"), of("", "x"));
        assert_eq!(ends("ab?"), of("a", ""));
        assert_eq!(ends("ab*c?"), of("a", ""));
        assert_eq!(ends("a^b"), of("a", "b"));
        assert_eq!(ends("(ab)*"), of("", ""));
        assert_eq!(ends("a\u{fffd}"), of("a", ""));
        assert!(check("a\u{fffd}", "a\u{fffd}") && check("abc", "abc") && !check("abcb", "ab"));
    }
}
