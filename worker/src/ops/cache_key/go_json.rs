//! JSON exactly as Go's `encoding/json` writes it, for cache keys.
//!
//! What differs from other encoders: `<`, `>`, `&`, U+2028 and U+2029 are escaped, other control
//! characters are `\u00xx` except for the five with a short form, DEL is not escaped, byte strings
//! are base64, maps are sorted by key, and nothing follows the last brace. A field marked
//! `omitempty` vanishes with its zero value: 0, false, "", an empty list; a message that is there
//! but empty does not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// A value that can be written, and says whether `omitempty` drops it.
pub(super) trait Value {
    fn write(&self, out: &mut String);

    fn is_zero(&self) -> bool {
        false
    }
}

/// An object under construction; fields appear in the order they are added.
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    pub(super) fn always(mut self, name: &str, value: &(impl Value + ?Sized)) -> Self {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(',');
        }
        name.write(self.out);
        self.out.push(':');
        value.write(self.out);
        self
    }

    /// `omitempty`.
    pub(super) fn some(self, name: &str, value: &(impl Value + ?Sized)) -> Self {
        if value.is_zero() { self } else { self.always(name, value) }
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

/// The text of an object built by `fields`.
pub(super) fn object(fields: impl FnOnce(Object<'_>) -> Object<'_>) -> String {
    let mut out = String::new();
    fields(Object::begin(&mut out)).end();
    out
}

pub(super) fn text(value: &impl Value) -> String {
    let mut out = String::new();
    value.write(&mut out);
    out
}

impl Value for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        for character in self.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                other => out.push(other),
            }
        }
        out.push('"');
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Value for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn write(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

number!(i32, i64, u32, u64);

impl Value for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn is_zero(&self) -> bool {
        !self
    }
}

impl Value for [u8] {
    fn write(&self, out: &mut String) {
        out.push('"');
        STANDARD.encode_string(self, out);
        out.push('"');
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Value for Bytes {
    fn write(&self, out: &mut String) {
        self.as_ref().write(out);
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, out: &mut String) {
        out.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            value.write(out);
        }
        out.push(']');
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn write(&self, out: &mut String) {
        let fields = Object::begin(out);
        self.iter().fold(fields, |fields, (name, value)| fields.always(name, value)).end();
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A pointer or a slice that may be nil.
impl<T: Value> Value for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_escape_as_go_does() {
        let mut out = String::new();
        "a\"\\\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}<>&\u{2028}é😀".write(&mut out);
        assert_eq!(out, "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\\u003c\\u003e\\u0026\\u2028é😀\"");
    }

    #[test]
    fn zero_values_vanish_only_where_asked() {
        let built = object(|fields| {
            fields
                .some("a", &0_i64)
                .always("b", &0_i64)
                .some("c", "")
                .some("d", &Vec::<String>::new())
                .some("e", &-1_i32)
        });
        assert_eq!(built, r#"{"b":0,"e":-1}"#);
        assert_eq!(text(&vec![None, Some(Bytes::from_static(b"hi"))]), r#"[null,"aGk="]"#);
    }
}
