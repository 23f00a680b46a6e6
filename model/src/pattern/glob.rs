//! One wildcard path: `*` and `?` stop at `/`, `[a-z]` and `[^a-z]` match one character (a slash
//! too), `\` takes the next character as it is. The language of Go's `path.Match`.

use super::PatternError;

/// Whether `pattern` matches the whole of `name`. A malformed pattern is an error whatever the name.
pub fn matches(pattern: &[u8], name: &[u8]) -> Result<bool, PatternError> {
    let tokens = parse(pattern)?;
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match tokens.get(token) {
            Some(Token::Star) => {
                star = Some((token + 1, at));
                token += 1;
                continue;
            }
            Some(one) => name.get(at..).and_then(|rest| one.length_matched(rest)),
            None if at == name.len() => return Ok(true),
            None => None,
        };
        match (step, &mut star) {
            (Some(length), _) => (token, at) = (token + 1, at + length),
            // The last star takes one byte more and everything after it is tried again.
            (None, Some((after, from))) if name.get(*from).is_some_and(|byte| *byte != b'/') => {
                *from += 1;
                (token, at) = (*after, *from);
            }
            _ => return Ok(false),
        }
    }
}

/// Whether a path holds a wildcard at all; escaped ones do not count.
pub fn has_wildcards(path: &[u8]) -> bool {
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}

/// A cleaned path cut before its first element with a wildcard: `/a/b*/c` is `/a` and `b*/c`.
pub fn split(path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let path = if path.is_empty() { Vec::new() } else { crate::lexical::clean(path) };
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let plain = parts.iter().position(|part| has_wildcards(part)).unwrap_or(parts.len());
    let (before, after) = parts.split_at(plain);
    let before = match before {
        [] => Vec::new(),
        [b""] => b"/".to_vec(),
        parts => parts.join(&b'/'),
    };
    (before, after.join(&b'/'))
}

/// Whether `pattern` is well formed.
pub fn validate(pattern: &[u8]) -> Result<(), PatternError> {
    parse(pattern).map(|_| ())
}

enum Token {
    Byte(u8),
    AnyCharacter,
    Star,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// How many bytes at the start of `rest` this token takes.
    fn length_matched(&self, rest: &[u8]) -> Option<usize> {
        match self {
            Self::Byte(byte) => (rest.first() == Some(byte)).then_some(1),
            Self::AnyCharacter if rest.first() == Some(&b'/') => None,
            Self::AnyCharacter => first_character(rest).map(|(_, length)| length),
            Self::Class { negated, ranges } => {
                let (character, length) = first_character(rest)?;
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                (inside != *negated).then_some(length)
            }
            Self::Star => None,
        }
    }
}

fn parse(pattern: &[u8]) -> Result<Vec<Token>, PatternError> {
    let error = || PatternError::Syntax(String::from_utf8_lossy(pattern).into_owned());
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        tokens.push(match first {
            b'*' => Token::Star,
            b'?' => Token::AnyCharacter,
            b'\\' => {
                let (escaped, after) = rest.split_first().ok_or_else(error)?;
                rest = after;
                Token::Byte(*escaped)
            }
            b'[' => parse_class(&mut rest).ok_or_else(error)?,
            other => Token::Byte(*other),
        });
    }
    Ok(tokens)
}

fn parse_class(rest: &mut &[u8]) -> Option<Token> {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = rest.get(1..)?;
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = rest.get(1..)?;
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(rest)?;
        let high = if rest.first() == Some(&b'-') {
            *rest = rest.get(1..)?;
            class_character(rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// One end of a range; something must follow it, at least the closing bracket.
fn class_character(rest: &mut &[u8]) -> Option<char> {
    match rest.first()? {
        b'-' | b']' => return None,
        b'\\' => *rest = rest.get(1..)?,
        _ => {}
    }
    let (character, length) = first_character(rest)?;
    if character == char::REPLACEMENT_CHARACTER && length == 1 {
        return None;
    }
    *rest = rest.get(length..)?;
    (!rest.is_empty()).then_some(character)
}

/// The first character and its length; a byte that begins none counts as U+FFFD of length one.
pub(super) fn first_character(bytes: &[u8]) -> Option<(char, usize)> {
    let head = bytes.get(..bytes.len().min(4))?;
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    match valid.chars().next() {
        Some(character) => Some((character, character.len_utf8())),
        None if bytes.is_empty() => None,
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, name: &str) -> bool {
        matches(pattern.as_bytes(), name.as_bytes()).unwrap()
    }

    #[test]
    fn stars_stop_at_slashes_and_classes_do_not() {
        assert!(check("/a/*.go", "/a/x.go"));
        assert!(!check("/a/*", "/a/b/c"));
        assert!(check("a*b*c", "a12b34bc"));
        assert!(check("a[^x]b", "a/b"));
        assert!(check("\\*", "*") && !check("\\*", "a"));
        assert!(check("?", "é") && check("[à-ï]", "é"));
        assert!(check("*", "") && !check("", "a"));
        assert!(check("*a*b", "xaab") && !check("*/*", "a"));
    }

    #[test]
    fn malformed_patterns_are_errors_even_where_the_name_differs() {
        for bad in ["[", "[]", "[^]", "[a", "[a-]", "[-a]", "a\\", "b[", "[a-\\"] {
            assert!(matches(bad.as_bytes(), b"zzz").is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_split_before_the_first_wildcard() {
        let split = |path: &str| {
            let (before, after) = split(path.as_bytes());
            (String::from_utf8(before).unwrap(), String::from_utf8(after).unwrap())
        };
        assert_eq!(split("/a/b*/c"), ("/a".into(), "b*/c".into()));
        assert_eq!(split("/*"), ("/".into(), "*".into()));
        assert_eq!(split("*"), ("".into(), "*".into()));
        assert_eq!(split("/a/\\*"), ("/a/\\*".into(), "".into()));
    }
}
