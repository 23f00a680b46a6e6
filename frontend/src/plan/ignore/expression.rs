//! The small part of regular expressions that translated patterns are made of, in Go's syntax:
//! characters, `.`, escapes, classes, `^`, `$`, groups, `*` and `?`.
//!
//! Compiled to a program whose states are advanced all at once, so that no pattern takes more than
//! its length times the path's. Absent, and thus an error: `\p`, `\b`, `\x`, `\Q`, which a pattern
//! reaches only by escaping a letter without need.

use std::iter::Peekable;
use std::str::Chars;

pub(super) struct Expression(Vec<Step>);

enum Step {
    /// Takes one character.
    Take(Set),
    /// Goes on at both places.
    Fork(usize, usize),
    Start,
    End,
    Found,
}

/// A set of characters.
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut characters = text.chars().peekable();
        sequence(&mut characters, &mut steps, false)?;
        steps.push(Step::Found);
        Some(Self(steps))
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let mut states = States::new(self.0.len());
        let mut next = States::new(self.0.len());
        self.follow(0, true, path.is_empty(), &mut states);
        let mut characters = path.chars().peekable();
        while let Some(character) = characters.next() {
            let at_end = characters.peek().is_none();
            next.clear();
            for state in &states.list {
                if let Some(Step::Take(set)) = self.0.get(*state)
                    && set.contains(character)
                {
                    self.follow(state + 1, false, at_end, &mut next);
                }
            }
            std::mem::swap(&mut states, &mut next);
        }
        states.list.iter().any(|state| matches!(self.0.get(*state), Some(Step::Found)))
    }

    /// Adds a state and those it leads to without taking a character.
    fn follow(&self, state: usize, at_start: bool, at_end: bool, states: &mut States) {
        let mut open = vec![state];
        while let Some(state) = open.pop() {
            if !states.add(state) {
                continue;
            }
            match self.0.get(state) {
                Some(Step::Fork(a, b)) => open.extend([*a, *b]),
                Some(Step::Start) if at_start => open.push(state + 1),
                Some(Step::End) if at_end => open.push(state + 1),
                _ => {}
            }
        }
    }
}

struct States {
    list: Vec<usize>,
    present: Vec<bool>,
}

impl States {
    fn new(count: usize) -> Self {
        Self { list: Vec::new(), present: vec![false; count] }
    }

    fn add(&mut self, state: usize) -> bool {
        let new = self.present.get(state) == Some(&false);
        if new {
            self.present[state] = true;
            self.list.push(state);
        }
        new
    }

    fn clear(&mut self) {
        for state in self.list.drain(..) {
            self.present[state] = false;
        }
    }
}

impl Set {
    fn one(character: char) -> Self {
        Self { negated: false, ranges: vec![(character, character)] }
    }

    fn contains(&self, character: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != self.negated
    }
}

type Input<'a> = Peekable<Chars<'a>>;

/// Up to the end, or to the `)` of a group.
fn sequence(input: &mut Input<'_>, steps: &mut Vec<Step>, in_group: bool) -> Option<()> {
    while let Some(character) = input.next() {
        let start = steps.len();
        match character {
            ')' if in_group => return Some(()),
            '(' => sequence(input, steps, true)?,
            '^' => steps.push(Step::Start),
            '$' => steps.push(Step::End),
            '.' => steps.push(Step::Take(Set { negated: true, ranges: vec![('\n', '\n')] })),
            '[' => steps.push(Step::Take(class(input)?)),
            '\\' => steps.push(Step::Take(escape(input)?)),
            other => steps.push(Step::Take(Set::one(other))),
        }
        match input.peek() {
            Some('*') => repeat(input, steps, start, true),
            Some('?') => repeat(input, steps, start, false),
            _ => {}
        }
    }
    (!in_group).then_some(())
}

/// Wraps the steps from `start` so that they may be passed over, and, with `again`, be repeated.
fn repeat(input: &mut Input<'_>, steps: &mut Vec<Step>, start: usize, again: bool) {
    input.next();
    for step in &mut steps[start..] {
        if let Step::Fork(a, b) = step {
            *a += 1;
            *b += 1;
        }
    }
    let after = steps.len() + 1 + usize::from(again);
    steps.insert(start, Step::Fork(start + 1, after));
    if again {
        steps.push(Step::Fork(start, start));
    }
}

fn escape(input: &mut Input<'_>) -> Option<Set> {
    let character = input.next()?;
    let set = |negated, ranges: &[(char, char)]| Some(Set { negated, ranges: ranges.to_vec() });
    let lower = character.to_ascii_lowercase();
    match lower {
        'd' => return set(character == 'D', &[('0', '9')]),
        's' => return set(character == 'S', &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
        'w' => return set(character == 'W', &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => {}
    }
    escaped_character(character).map(Set::one)
}

fn escaped_character(character: char) -> Option<char> {
    match character {
        'a' => Some('\x07'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(other),
        _ => None,
    }
}

/// A class whose `[` is read. A `]` in first place is a member.
fn class(input: &mut Input<'_>) -> Option<Set> {
    let mut set = Set { negated: input.next_if_eq(&'^').is_some(), ranges: Vec::new() };
    let mut first = true;
    let mut names_ahead = true;
    loop {
        let character = input.next()?;
        if character == '[' && names_ahead && input.peek() == Some(&':') {
            // Found once: a name, or an error. Not found once: never again. So all looks are one pass.
            names_ahead = is_closed(input);
            if names_ahead {
                named_class(input, &mut set)?;
                first = false;
                continue;
            }
        }
        match character {
            ']' if !first => return Some(set),
            '\\' if input.peek().is_some_and(|next| matches!(next, 'd' | 's' | 'w')) => {
                set.ranges.extend(escape(input)?.ranges);
            }
            _ => {
                let low = member(character, input)?;
                set.ranges.push((low, range_end(low, input)?));
            }
        }
        first = false;
    }
}

fn member(character: char, input: &mut Input<'_>) -> Option<char> {
    if character == '\\' { escaped_character(input.next()?) } else { Some(character) }
}

/// The end of a range if there is one, else `low`; `a-]` is no range.
fn range_end(low: char, input: &mut Input<'_>) -> Option<char> {
    let mut ahead = input.clone();
    if ahead.next() != Some('-') || ahead.next().is_none_or(|next| next == ']') {
        return Some(low);
    }
    input.next();
    let high = input.next()?;
    let high = member(high, input)?;
    (low <= high).then_some(high)
}

/// Whether a `:]` follows the `:` that comes next.
fn is_closed(input: &Input<'_>) -> bool {
    let following = input.clone().skip(1);
    following.clone().zip(following.skip(1)).any(|pair| pair == (':', ']'))
}

/// `[:name:]`, its `[` read.
fn named_class(input: &mut Input<'_>, set: &mut Set) -> Option<()> {
    input.next();
    let name: String = std::iter::from_fn(|| input.next_if(|c| *c != ':')).collect();
    input.next();
    input.next_if_eq(&']')?;
    let ranges: &[(char, char)] = match name.as_str() {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    set.ranges.extend_from_slice(ranges);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, good: &[&str], bad: &[&str]) {
        let parsed = Expression::parse(expression).unwrap();
        for text in good {
            assert!(parsed.matches(text), "{expression} should match {text:?}");
        }
        for text in bad {
            assert!(!parsed.matches(text), "{expression} should not match {text:?}");
        }
    }

    #[test]
    fn parts_and_folders() {
        check("^(.*/)?a$", &["a", "b/a", "b/c/a"], &["ba", "a/b", ""]);
        check("^a(.*/)?b$", &["ab", "a/b", "ax/y/b"], &["axb"]);
        check("^[^/]*[^/]$", &["a", "abc"], &["", "a/b"]);
        check("^.*$", &["", "a/b"], &["a\nb"]);
        check("^a^b$", &[], &["ab", "a^b"]);
    }

    #[test]
    fn classes() {
        check("^[a-cx]$", &["a", "c", "x"], &["d", "-", "ab"]);
        check("^[^a]$", &["b", "/"], &["a"]);
        check("^[]a]$", &["]", "a"], &["b"]);
        check("^[a-]$", &["a", "-"], &["b"]);
        check("^[[:digit:]_]$", &["1", "_"], &["a", ":"]);
        check("^[[:x]$", &["[", ":", "x"], &["]"]);
        check(r"^[\d\]]$", &["1", "]"], &["d"]);
        check(r"^\d\.\*$", &["1.*"], &["d.*", "1x*"]);
        for wrong in ["^[z-a]$", "^[a", r"^\p$", "^[[:no:]]$", "^[a\\"] {
            assert!(Expression::parse(wrong).is_none(), "{wrong}");
        }
    }
}
