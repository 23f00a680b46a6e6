//! The patterns of `${name#pattern}` and its relatives: `*`, `?`, and characters.
//!
//! The reference turns them into regular expressions. So that every answer is equal, [`Matcher`]
//! tries alternatives in the order such an expression does, leftmost first: each `*` as long (or as
//! short) as it can be while the rest still matches; neither `*` nor `?` takes a line end. States
//! that failed are remembered, so the work is at most pattern times value.

use super::Problem;

/// How far a `*` reaches if there is a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Shortest,
    Longest,
}

pub(super) struct Pattern {
    tokens: Vec<Token>,
    reach: Reach,
}

#[derive(Clone, Copy)]
enum Token {
    Exactly(char),
    One,
    Many,
}

/// Pattern length times value length: one bit of memory each.
const MAX_STATES: usize = 1 << 26;

impl Pattern {
    /// Errors with the character that must not be escaped.
    pub(super) fn parse(text: &str, reach: Reach) -> Result<Self, char> {
        let mut tokens = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            tokens.push(match character {
                '*' => Token::Many,
                '?' => Token::One,
                // These end parts of the substitution itself: their escape is not the pattern's.
                '\\' if matches!(characters.peek(), Some('}' | '/')) => continue,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Token::Exactly(escaped),
                    other => return Err(other.unwrap_or('\u{fffd}')),
                },
                other => Token::Exactly(other),
            });
        }
        Ok(Self { tokens, reach })
    }

    /// Back to front, escapes staying before what they escape.
    pub(super) fn reversed(text: &str) -> String {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match (character, characters.clone().next()) {
                ('\\', Some(escaped)) => {
                    characters.next();
                    parts.extend([escaped, '\\']);
                }
                _ => parts.push(character),
            }
        }
        parts.iter().rev().collect()
    }

    pub(super) fn matcher<'a>(&'a self, value: &'a [char]) -> Result<Matcher<'a>, Problem> {
        let states = self.tokens.len().checked_mul(value.len() + 1).filter(|states| *states <= MAX_STATES);
        let states = states.ok_or(Problem::TooLong)?;
        Ok(Matcher { pattern: self, value, failed: vec![0; states / 64 + 1], touched: Vec::new() })
    }
}

pub(super) struct Matcher<'a> {
    pattern: &'a Pattern,
    value: &'a [char],
    /// A bit for each token and position that was tried.
    failed: Vec<u64>,
    touched: Vec<usize>,
}

impl Matcher<'_> {
    /// The end of the match at the start of the value.
    pub(super) fn prefix(&mut self) -> Option<usize> {
        self.match_at(0)
    }

    /// Start and end of the first match at or after `from`.
    pub(super) fn find(&mut self, from: usize) -> Option<(usize, usize)> {
        (from..=self.value.len()).find_map(|start| Some((start, self.match_at(start)?)))
    }

    fn match_at(&mut self, start: usize) -> Option<usize> {
        let mut alternatives = vec![(0, start)];
        while let Some((token, at)) = alternatives.pop() {
            let Some(current) = self.pattern.tokens.get(token) else {
                self.forget();
                return Some(at);
            };
            if !self.first_visit(token, at) {
                continue;
            }
            let next = self.value.get(at).copied();
            let any = next.is_some_and(|c| c != '\n');
            match current {
                Token::Exactly(c) if next == Some(*c) => alternatives.push((token + 1, at + 1)),
                Token::One if any => alternatives.push((token + 1, at + 1)),
                Token::Many => {
                    let (stop, more) = ((token + 1, at), (token, at + 1));
                    // The last pushed is tried first.
                    match self.pattern.reach {
                        _ if !any => alternatives.push(stop),
                        Reach::Longest => alternatives.extend([stop, more]),
                        Reach::Shortest => alternatives.extend([more, stop]),
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn first_visit(&mut self, token: usize, at: usize) -> bool {
        let state = token * (self.value.len() + 1) + at;
        let (word, bit) = (state / 64, 1 << (state % 64));
        let Some(bits) = self.failed.get_mut(word) else { return false };
        let first = *bits & bit == 0;
        if *bits == 0 {
            self.touched.push(word);
        }
        *bits |= bit;
        first
    }

    /// After a match not every tried state has failed.
    fn forget(&mut self) {
        for word in self.touched.drain(..) {
            self.failed[word] = 0;
        }
    }
}
