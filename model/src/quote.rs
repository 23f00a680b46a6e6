//! Quoting texts in messages as Go's `%q` does: messages of this field are compared with those of tools in Go.

/// In double quotes, with escapes for what leaves no mark.
pub fn quoted(text: impl AsRef<str>) -> String {
    let mut result = String::from('"');
    for character in text.as_ref().chars() {
        match character {
            '"' | '\\' => result.extend(['\\', character]),
            '\x07' => result.push_str("\\a"),
            '\x08' => result.push_str("\\b"),
            '\x0c' => result.push_str("\\f"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            '\x0b' => result.push_str("\\v"),
            ' '..='~' => result.push(character),
            '\0'..='\x7f' => result.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ if is_printable(character) => result.push(character),
            '\u{80}'..='\u{ffff}' => result.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => result.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    result.push('"');
    result
}

fn is_printable(character: char) -> bool {
    !character.is_control() && !character.is_whitespace() && !is_invisible(character)
}

/// Format characters, separators and private use: what Unicode has that leaves no mark.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..)
}

/// Go's `time` package quotes bytes, not characters.
pub fn quoted_bytes(text: &str) -> String {
    let mut result = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => result.extend(['\\', char::from(byte)]),
            b' '..=0x7f => result.push(char::from(byte)),
            _ => result.push_str(&format!("\\x{byte:02x}")),
        }
    }
    result.push('"');
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_does() {
        assert_eq!(quoted("a\"\\\n\0\x7fé"), r#""a\"\\\n\x00\x7fé""#);
        assert_eq!(quoted("\u{a0}\u{200b}\u{fffd}\u{10ffff}"), "\"\\u00a0\\u200b\u{fffd}\\U0010ffff\"");
        assert_eq!(quoted_bytes("1µ\""), r#""1\xc2\xb5\"""#);
    }
}
