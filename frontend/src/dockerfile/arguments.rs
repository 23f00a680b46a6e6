//! Splitting the text behind keyword and flags, for each instruction in its own way.

use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use super::Fault;
use super::instruction::KeyValue;

pub(super) const KEYWORDS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// What the regular expressions of the reference take for space within a line.
pub(super) const BLANKS: [char; 5] = ['\t', '\x0b', '\x0c', '\r', ' '];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Words, quotes kept; or the members of a JSON list; or the whole text as one.
    pub(super) words: Vec<String>,
    /// Whether `words` (but the type of a health check) came from a JSON list.
    pub(super) json: bool,
    /// Of `ENV` and `LABEL` only.
    pub(super) pairs: Vec<KeyValue>,
}

/// `keyword` in lower case; unknown instructions have no arguments (they fail later, with the others).
/// `ONBUILD` is not for here: its argument is an instruction.
pub(super) fn split(keyword: &str, text: &str, escape: char) -> Result<Arguments, Fault> {
    match keyword {
        "add" | "copy" | "volume" => json_or(text, || blank_separated(text)),
        "cmd" | "entrypoint" | "run" | "shell" => json_or(text, || whole(text)),
        "arg" => Ok(Arguments { words: quoted_words(text, escape), ..Arguments::default() }),
        "env" => pairs("ENV", text, escape),
        "label" => pairs("LABEL", text, escape),
        "expose" | "from" | "include" => {
            Ok(Arguments { words: blank_separated(text), ..Arguments::default() })
        }
        "healthcheck" => health_check(text),
        "maintainer" | "stopsignal" | "user" | "workdir" => {
            Ok(Arguments { words: whole(text), ..Arguments::default() })
        }
        _ => Ok(Arguments::default()),
    }
}

fn whole(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

fn blank_separated(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = rest.split_once(BLANKS) {
        words.push(word.to_owned());
        rest = after.trim_start_matches(BLANKS);
    }
    words.push(rest.to_owned());
    words
}

fn health_check(text: &str) -> Result<Arguments, Fault> {
    let (kind, command) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if kind.is_empty() {
        return Ok(Arguments::default());
    }
    let command = command.trim_start();
    let mut arguments = json_or(command, || whole(command))?;
    arguments.words.insert(0, kind.to_owned());
    Ok(arguments)
}

/// A text that looks like a JSON list but is not valid JSON is no error: it is taken literally.
fn json_or(text: &str, otherwise: impl FnOnce() -> Vec<String>) -> Result<Arguments, Fault> {
    match json_list(text)? {
        Some(words) => Ok(Arguments { words, json: true, pairs: Vec::new() }),
        None => Ok(Arguments { words: otherwise(), ..Arguments::default() }),
    }
}

fn json_list(text: &str) -> Result<Option<Vec<String>>, Fault> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    if let Ok(words) = serde_json::from_str::<Vec<JsonText>>(text) {
        return Ok(Some(words.into_iter().map(|word| word.0).collect()));
    }
    match serde_json::from_str::<Vec<IgnoredAny>>(text) {
        Ok(_) => Err(Fault::JsonNotStrings),
        Err(_) => Ok(None),
    }
}

/// A JSON string; half a surrogate pair, which no Rust text can hold, becomes U+FFFD.
struct JsonText(String);

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = JsonText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<JsonText, E> {
                // One replacement for each half; they come as three bytes.
                let text = String::from_utf8_lossy(bytes).replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}");
                Ok(JsonText(text))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Words of `ENV`, `LABEL`, `ARG`: spaces in quotes or escaped do not separate. Quotes and escapes
/// stay, for they are read once more when variables are expanded.
fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == escape && quote != Some('\'') {
            // At the end of the text an escape has no meaning.
            if let Some(escaped) = characters.next() {
                word.extend([character, escaped]);
            }
            continue;
        }
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '\'' | '"') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn pairs(command: &'static str, text: &str, escape: char) -> Result<Arguments, Fault> {
    let words = quoted_words(text, escape);
    let pairs = match words.first() {
        None => Vec::new(),
        Some(first) if !first.contains('=') => vec![legacy_pair(command, text)?],
        Some(_) => words.into_iter().map(pair).collect::<Result<_, _>>()?,
    };
    Ok(Arguments { pairs, ..Arguments::default() })
}

/// `key rest of the line`.
fn legacy_pair(command: &'static str, text: &str) -> Result<KeyValue, Fault> {
    let (key, value) = text.split_once(BLANKS).ok_or(Fault::TwoArguments(command))?;
    let value = value.trim_start_matches(BLANKS);
    Ok(KeyValue { key: key.to_owned(), value: value.to_owned(), legacy: true })
}

fn pair(word: String) -> Result<KeyValue, Fault> {
    match word.split_once('=') {
        Some((key, value)) => Ok(KeyValue { key: key.to_owned(), value: value.to_owned(), legacy: false }),
        None => Err(Fault::MissingEquals(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_json(text: &str, expected: Result<Option<&[&str]>, Fault>) {
        let expected =
            expected.map(|words| words.map(|words| words.iter().map(|w| (*w).to_owned()).collect()));
        assert_eq!(json_list(text), expected);
    }

    #[test]
    fn json_lists() {
        check_json(r#"["a", "b\n\u00e9"] "#, Ok(Some(&["a", "b\né"])));
        check_json("[]", Ok(Some(&[])));
        check_json(r#"["\ud800x"]"#, Ok(Some(&["\u{fffd}x"])));
        check_json(r#"["a" "b"]"#, Ok(None));
        check_json(r#"["a"] b"#, Ok(None));
        check_json(r#"['a']"#, Ok(None));
        check_json(r#"["a", 1]"#, Err(Fault::JsonNotStrings));
        check_json(r#"[["a"]]"#, Err(Fault::JsonNotStrings));
        check_json("[null]", Err(Fault::JsonNotStrings));
        check_json("[[1, 2]]", Err(Fault::JsonNotStrings));
    }

    #[test]
    fn words_keep_their_quotes() {
        assert_eq!(quoted_words(r#"a="b c" d\ e 'f g'h"#, '\\'), [r#"a="b c""#, r"d\ e", "'f g'h"]);
        assert_eq!(quoted_words("a \\", '\\'), ["a"]);
        assert_eq!(quoted_words("'a\\' b", '\\'), ["'a\\'", "b"]);
    }
}
