//! The lexer's options and its entry points.

use super::expansion::{Expansion, Reader};
use super::words::Words;
use super::{Error, Variables};

/// How a text is read. The plain form removes quotes and escapes and expands variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexer {
    /// `\` or a backtick.
    pub escape: char,
    /// Keep quotes in the result.
    pub raw_quotes: bool,
    /// Keep escapes in the result.
    pub raw_escapes: bool,
    /// Quotes are characters like any other: for heredoc bodies.
    pub skip_quotes: bool,
    /// Leave references to unset variables as they are.
    pub skip_unset: bool,
}

impl Lexer {
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, skip_quotes: false, skip_unset: false }
    }

    /// Everything about `text`: its expansion, its words, the variables it asked for.
    pub fn process(&self, text: &str, variables: &dyn Variables) -> Result<Expansion, Error> {
        self.read(text, variables, Some(Words::default()))
    }

    /// The expansion as one text, spaces kept; it has no words.
    pub fn process_word(&self, text: &str, variables: &dyn Variables) -> Result<Expansion, Error> {
        self.read(text, variables, None)
    }

    /// The expansion, split at unquoted spaces; a variable's value splits too.
    pub fn process_words(&self, text: &str, variables: &dyn Variables) -> Result<Vec<String>, Error> {
        self.process(text, variables).map(|expansion| expansion.words)
    }

    fn read(&self, text: &str, variables: &dyn Variables, words: Option<Words>) -> Result<Expansion, Error> {
        Reader::new(self, text, variables, words).read().map_err(|(problem, unmatched)| Error {
            text: text.to_owned(),
            problem,
            unmatched,
        })
    }
}
