//! What follows a `$`.

use super::expansion::Reader;
use super::pattern::{Pattern, Reach};
use super::{MAX_DEPTH, Problem, template};

impl Reader<'_> {
    /// The value of the reference the scanner stands before; a lone `$` is itself.
    pub(super) fn dollar(&mut self) -> Result<String, Problem> {
        self.scanner.next();
        if self.scanner.peek() == Some('{') {
            self.scanner.next();
            return self.braces();
        }
        let name = self.scanner.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.value(&name) {
            None if self.lexer.skip_unset => format!("${name}"),
            value => value.unwrap_or_default(),
        })
    }

    fn braces(&mut self) -> Result<String, Problem> {
        match self.scanner.peek() {
            None => return Err(Problem::MissingBrace),
            Some('{' | '}' | ':') => return Err(Problem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.scanner.name();
        let Some(modifier) = self.scanner.next() else { return Err(unsupported("\u{fffd}")) };
        match modifier {
            '}' => Ok(match self.value(&name) {
                None if self.lexer.skip_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            ':' => {
                let modifier = self.scanner.next().unwrap_or('\u{fffd}');
                self.modified(&name, modifier, true)
            }
            '+' | '-' | '?' | '#' | '%' => self.modified(&name, modifier, false),
            '/' => self.replaced(&name),
            other => Err(unsupported(&other.to_string())),
        }
    }

    /// `${name<modifier>word}`; with `colon`, an empty value counts as none.
    fn modified(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, Problem> {
        let written = if colon { format!(":{modifier}") } else { modifier.to_string() };
        let trims = matches!(modifier, '#' | '%');
        if colon && trims {
            return Err(unsupported(&written));
        }
        let word = self.nested('}', trims, Problem::MissingBrace)?;
        let value = self.value(name);
        if value.is_none() && self.lexer.skip_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let counts = value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        match modifier {
            '-' => Ok(if counts { value.unwrap_or_default() } else { word }),
            '+' => Ok(if counts { word } else { String::new() }),
            '?' if counts => Ok(value.unwrap_or_default()),
            '?' => Err(required(name, word, value.is_some())),
            '#' | '%' => trimmed(modifier, &word, &value.unwrap_or_default()),
            _ => Err(unsupported(&written)),
        }
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`.
    fn replaced(&mut self, name: &str) -> Result<String, Problem> {
        let everywhere = self.scanner.peek() == Some('/');
        if everywhere {
            self.scanner.next();
        }
        let pattern = self.nested('/', true, Problem::MissingSlash)?;
        let replacement = self.nested('}', true, Problem::MissingBrace)?;
        let value = self.value(name);
        if value.is_none() && self.lexer.skip_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let value = value.unwrap_or_default();
        let parsed = Pattern::parse(&pattern, Reach::Longest)
            .map_err(|escaped| Problem::Pattern { pattern: pattern.clone(), escaped })?;
        if everywhere {
            template::replace_all(&parsed, &value, &replacement)
        } else {
            replace_first(&parsed, &value, &replacement)
        }
    }

    /// The text up to `stop`. If the scanner ran out of text, that is what to report, whatever failed.
    fn nested(&mut self, stop: char, raw_escapes: bool, at_end: Problem) -> Result<String, Problem> {
        if self.depth == MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        self.depth += 1;
        if let Some(words) = &mut self.words {
            words.forget();
        }
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let outer_words = self.words.take();
        let text = self.read_until(Some(stop));
        self.words = outer_words;
        self.raw_escapes = outer;
        self.depth -= 1;
        match text {
            Err(Problem::TooDeep) => Err(Problem::TooDeep),
            Err(Problem::TooLong) => Err(Problem::TooLong),
            Err(_) if self.scanner.at_end() => Err(at_end),
            text => text,
        }
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name).map(std::borrow::Cow::into_owned);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }
}

fn unsupported(modifier: &str) -> Problem {
    Problem::Modifier(modifier.to_owned())
}

fn required(name: &str, message: String, set: bool) -> Problem {
    let message = match (message.is_empty(), set) {
        (false, _) => message,
        (true, true) => "is not allowed to be empty".to_owned(),
        (true, false) => "is not allowed to be unset".to_owned(),
    };
    Problem::Required { name: name.to_owned(), message }
}

/// A doubled modifier takes the longest match. A suffix is a prefix of the reversed value.
fn trimmed(modifier: char, word: &str, value: &str) -> Result<String, Problem> {
    let (reach, word) = match word.strip_prefix(modifier) {
        Some(word) => (Reach::Longest, word),
        None => (Reach::Shortest, word),
    };
    let from_end = modifier == '%';
    let pattern = if from_end { Pattern::reversed(word) } else { word.to_owned() };
    let parsed = Pattern::parse(&pattern, reach)
        .map_err(|escaped| Problem::Pattern { pattern: pattern.clone(), escaped })?;
    let characters: Vec<char> =
        if from_end { value.chars().rev().collect() } else { value.chars().collect() };
    let end = parsed.matcher(&characters)?.prefix().unwrap_or(0);
    let rest = &characters[end..];
    Ok(if from_end { rest.iter().rev().collect() } else { rest.iter().collect() })
}

fn replace_first(pattern: &Pattern, value: &str, replacement: &str) -> Result<String, Problem> {
    let characters: Vec<char> = value.chars().collect();
    let Some((start, end)) = pattern.matcher(&characters)?.find(0) else { return Ok(value.to_owned()) };
    let before = characters[..start].iter();
    Ok(before.copied().chain(replacement.chars()).chain(characters[end..].iter().copied()).collect())
}
