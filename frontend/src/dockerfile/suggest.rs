//! "did you mean …?"

use super::Fault;

/// A word further away than this is no typing error.
const FARTHEST: usize = 2;

/// The first of the closest options; `None` if all are far, or if one is equal: then the word was not
/// the problem. Without `case_sensitive` the answer takes the casing of `word`.
pub fn closest(word: &str, options: &[&str], case_sensitive: bool) -> Option<String> {
    let fold = |text: &str| if case_sensitive { text.to_owned() } else { text.to_lowercase() };
    let folded = fold(word);
    let wanted: Vec<char> = folded.chars().collect();
    let mut best: Option<(usize, String)> = None;
    // An edit changes at most four bytes.
    let is_near = |option: &&&str| option.len().abs_diff(folded.len()) <= 4 * FARTHEST || !case_sensitive;
    for option in options.iter().filter(is_near).map(|option| fold(option)) {
        let distance = distance(&wanted, &option.chars().collect::<Vec<_>>());
        if distance == 0 {
            return None;
        }
        if distance <= FARTHEST && best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, option));
        }
    }
    let (_, option) = best.filter(|(_, option)| !option.is_empty())?;
    let shout = !case_sensitive && word != word.to_lowercase() && word == word.to_uppercase();
    Some(if shout { option.to_uppercase() } else { option })
}

pub fn with_suggestion(fault: Fault, word: &str, options: &[&str], case_sensitive: bool) -> Fault {
    match closest(word, options, case_sensitive) {
        Some(suggestion) => Fault::Suggestion { fault: Box::new(fault), suggestion },
        None => fault,
    }
}

/// Levenshtein's, but lengths that differ too much are not compared: words come from outside.
fn distance(a: &[char], b: &[char]) -> usize {
    if a.len().abs_diff(b.len()) > FARTHEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested() {
        let options = ["add", "run", "copy"];
        assert_eq!(closest("RUNN", &options, false).as_deref(), Some("RUN"));
        assert_eq!(closest("cpoy", &options, true).as_deref(), Some("copy"));
        assert_eq!(closest("Runn", &options, false).as_deref(), Some("run"));
        assert_eq!(closest("run", &options, true), None);
        assert_eq!(closest("something", &options, true), None);
        assert_eq!(closest(&"x".repeat(1 << 20), &options, true), None);
    }
}
