//! Reading a text: plain characters, escapes, quotes; `substitution` reads what follows a `$`.

use std::collections::BTreeSet;

use super::scanner::Scanner;
use super::words::Words;
use super::{Lexer, MAX_LENGTH, Problem, Variables};

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    pub text: String,
    pub words: Vec<String>,
    /// Names of the variables asked for that are set.
    pub matched: BTreeSet<String>,
    /// Names of the variables asked for that are not.
    pub unmatched: BTreeSet<String>,
}

/// One pass over a text.
pub(super) struct Reader<'a> {
    pub(super) lexer: &'a Lexer,
    pub(super) scanner: Scanner<'a>,
    pub(super) variables: &'a dyn Variables,
    /// Patterns keep their escapes whatever the lexer's options say.
    pub(super) raw_escapes: bool,
    pub(super) depth: usize,
    /// Where the text is to be split.
    pub(super) words: Option<Words>,
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        lexer: &'a Lexer,
        text: &'a str,
        variables: &'a dyn Variables,
        words: Option<Words>,
    ) -> Self {
        Self {
            lexer,
            scanner: Scanner::new(text),
            variables,
            raw_escapes: lexer.raw_escapes,
            depth: 0,
            words,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        }
    }

    /// What is wrong comes with the names that were not set.
    pub(super) fn read(mut self) -> Result<Expansion, (Problem, BTreeSet<String>)> {
        match self.read_until(None) {
            Ok(text) => {
                let words = self.words.map(Words::finish).unwrap_or_default();
                Ok(Expansion { text, words, matched: self.matched, unmatched: self.unmatched })
            }
            Err(problem) => Err((problem, self.unmatched)),
        }
    }

    /// Up to `stop`, which is consumed, or to the end without one.
    pub(super) fn read_until(&mut self, stop: Option<char>) -> Result<String, Problem> {
        let mut result = String::new();
        loop {
            self.plain_run(stop, &mut result);
            let Some(next) = self.scanner.peek() else { break };
            if Some(next) == stop {
                self.scanner.next();
                return Ok(result);
            }
            match next {
                '$' => {
                    let value = self.dollar()?;
                    if let Some(words) = &mut self.words {
                        words.extend(&value);
                    }
                    result.push_str(&value);
                }
                '<' => {
                    let operator = self.possible_heredoc();
                    self.add_raw(&operator, &mut result);
                }
                '\'' | '"' if !self.lexer.skip_quotes => {
                    let quoted = if next == '"' { self.double_quotes()? } else { self.single_quotes()? };
                    self.add_raw(&quoted, &mut result);
                }
                _ => {
                    self.scanner.next();
                    if !self.plain(next, &mut result) {
                        break;
                    }
                }
            }
            if result.len() > MAX_LENGTH {
                return Err(Problem::TooLong);
            }
        }
        match stop {
            Some(stop) => Err(Problem::Unclosed(stop)),
            None => Ok(result),
        }
    }

    /// Characters that mean nothing but themselves.
    fn plain_run(&mut self, stop: Option<char>, result: &mut String) {
        let escape = self.lexer.escape;
        let means = |c: char| matches!(c, '$' | '<' | '\'' | '"') || c == escape || Some(c) == stop;
        let run = self.scanner.run(means);
        if let Some(words) = &mut self.words {
            words.extend(run);
        }
        result.push_str(run);
    }

    /// Text that is part of a word whatever it holds.
    fn add_raw(&mut self, text: &str, result: &mut String) {
        if let Some(words) = &mut self.words {
            words.extend_raw(text);
        }
        result.push_str(text);
    }

    /// A character outside quotes, already consumed; false at the end of the text.
    fn plain(&mut self, character: char, result: &mut String) -> bool {
        if character != self.lexer.escape {
            if let Some(words) = &mut self.words {
                words.push(character);
            }
            result.push(character);
            return true;
        }
        let mut add = |character| {
            if let Some(words) = &mut self.words {
                words.push_raw(character);
            }
            result.push(character);
        };
        if self.raw_escapes {
            add(character);
        }
        let Some(escaped) = self.scanner.next() else { return false };
        add(escaped);
        true
    }

    /// Everything up to the next quote as it is; nothing escapes.
    fn single_quotes(&mut self) -> Result<String, Problem> {
        let mut result = String::new();
        self.keep_quote(&mut result);
        while let Some(next) = self.scanner.peek() {
            if next == '\'' {
                self.keep_quote(&mut result);
                return Ok(result);
            }
            self.scanner.next();
            result.push(next);
        }
        Err(Problem::SingleQuote)
    }

    /// Everything up to the next quote, with variables; an escape counts before `"`, `$` and itself.
    fn double_quotes(&mut self) -> Result<String, Problem> {
        let mut result = String::new();
        self.keep_quote(&mut result);
        while let Some(next) = self.scanner.peek() {
            match next {
                '"' => {
                    self.keep_quote(&mut result);
                    return Ok(result);
                }
                '$' => result.push_str(&self.dollar()?),
                next if next == self.lexer.escape => {
                    self.scanner.next();
                    self.double_quoted(next, &mut result);
                }
                _ => {
                    let escape = self.lexer.escape;
                    result.push_str(self.scanner.run(|c| matches!(c, '$' | '"') || c == escape));
                }
            }
            if result.len() > MAX_LENGTH {
                return Err(Problem::TooLong);
            }
        }
        Err(Problem::DoubleQuote)
    }

    /// Behind an escape.
    fn double_quoted(&mut self, escape: char, result: &mut String) {
        if self.raw_escapes {
            result.push(escape);
        }
        match self.scanner.peek() {
            None => {}
            Some(next) if matches!(next, '"' | '$') || next == escape => {
                self.scanner.next();
                result.push(next);
            }
            Some(_) => result.push(escape),
        }
    }

    fn keep_quote(&mut self, result: &mut String) {
        if let Some(quote) = self.scanner.next().filter(|_| self.lexer.raw_quotes) {
            result.push(quote);
        }
    }

    /// `<< EOF` is one word: spaces after the operator belong to it.
    fn possible_heredoc(&mut self) -> String {
        self.scanner.next();
        let mut operator = "<".to_owned();
        if self.scanner.peek() == Some('<') {
            self.scanner.next();
            operator.push('<');
            self.scanner.take_while(&mut operator, |c| matches!(c, ' ' | '\t' | '\r'));
        }
        operator
    }
}
