//! Characters of a text, one at a time, with a look at the next.

use std::str::Chars;

pub(super) struct Scanner<'a>(Chars<'a>);

impl<'a> Scanner<'a> {
    /// A byte-order mark at the start is not part of the text.
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.strip_prefix('\u{feff}').unwrap_or(text).chars())
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.0.clone().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        self.0.next()
    }

    /// All up to the first character that `ends`.
    pub(super) fn run(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let text = self.0.as_str();
        let (run, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        self.0 = rest.chars();
        run
    }

    pub(super) fn at_end(&self) -> bool {
        self.0.as_str().is_empty()
    }

    /// A variable's name: a number, one special parameter (`$?`, `$#`, …), or letters, digits and `_`;
    /// empty if there is none.
    pub(super) fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(digit) if is_digit(digit) => self.take_while(&mut name, is_digit),
            Some(special) if is_special_parameter(special) => {
                self.next();
                name.push(special);
            }
            _ => self.take_while(&mut name, |c| c.is_alphabetic() || is_digit(c) || c == '_'),
        }
        name
    }

    pub(super) fn take_while(&mut self, into: &mut String, accept: impl Fn(char) -> bool) {
        while let Some(next) = self.peek().filter(|c| accept(*c)) {
            self.next();
            into.push(next);
        }
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())
}

/// POSIX, "Special Parameters".
fn is_special_parameter(c: char) -> bool {
    matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!' | '0')
}
