//! JSON as Go writes it, so that equal images have equal digests.

use serde::Serialize;

use crate::error::{Error, Result};

/// Without white space.
pub(crate) fn compact(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map(|json| escape(&json)).map_err(Error::json(what))
}

/// Indented by two spaces.
pub(crate) fn indented(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map(|json| escape(&json)).map_err(Error::json(what))
}

/// Go escapes what HTML or JavaScript might take amiss. Outside of strings none of it occurs.
fn escape(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'<' => out.extend_from_slice(br"\u003c"),
            b'>' => out.extend_from_slice(br"\u003e"),
            b'&' => out.extend_from_slice(br"\u0026"),
            0xe2 if after.starts_with(&[0x80, 0xa8]) || after.starts_with(&[0x80, 0xa9]) => {
                out.extend_from_slice(if after[1] == 0xa8 { br"\u2028" } else { br"\u2029" });
                rest = &after[2..];
            }
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped_and_nothing_else() {
        let json = compact("test", &serde_json::json!({"a": "<&>\u{2028}ü\n"})).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"a":"\u003c\u0026\u003e\u2028ü\n"}"#);
    }
}
