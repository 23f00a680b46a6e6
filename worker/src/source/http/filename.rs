//! What a downloaded file is called: one plain name, whatever the server says.

use url::Url;

use super::super::save::safe_name;

/// `wanted` if there is one, else what `Content-Disposition` (RFC 6266) says, else the end of the address.
pub(super) fn file_name(url: &Url, wanted: &str, disposition: Option<&str>) -> String {
    if !wanted.is_empty() {
        return safe_name(wanted);
    }
    match disposition.and_then(suggested).filter(|name| !name.is_empty() && !name.ends_with('/')) {
        Some(name) => safe_name(&name),
        None => safe_name(&percent_decoded(url.path())),
    }
}

/// The parameter `filename*`, else `filename`.
fn suggested(disposition: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for (key, value) in parameters(disposition) {
        match key.as_str() {
            "filename" => plain = Some(value),
            // Charset, language and the name in percent encoding (RFC 8187).
            "filename*" => extended = value.splitn(3, '\'').nth(2).map(percent_decoded),
            _ => {}
        }
    }
    extended.or(plain)
}

/// `attachment; key=value; key="quoted \" value"`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.push((key.trim().trim_start_matches(';').trim().to_ascii_lowercase(), value));
        rest = after;
    }
    found
}

/// The text up to the closing quote, and what follows that.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                &tail[2..]
            }
            (byte, _, _) => {
                bytes.push(byte);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_name() {
        let name = |url: &str, wanted: &str, disposition: Option<&str>| {
            file_name(&url.parse().unwrap(), wanted, disposition)
        };
        let url = "http://h/a/b%20c.txt?x=/y";
        assert_eq!(name(url, "", None), "b c.txt");
        assert_eq!(name("http://h/", "", None), "download");
        assert_eq!(name("http://h/a/", "", None), "a");
        assert_eq!(name("http://h/a%2f..", "", None), "download");
        assert_eq!(name("http://h/a%0ab", "", None), "download");
        assert_eq!(name(url, "../../etc/passwd", None), "passwd");
        assert_eq!(name(url, "..", None), "download");
        for (disposition, expected) in [
            ("attachment; filename=x.tar", "x.tar"),
            ("attachment; filename=\"a \\\" b;c\"; size=3", "a \" b;c"),
            ("attachment; filename=\"../../x\"", "x"),
            ("attachment; filename=old; filename*=UTF-8''n%c3%a9w", "n\u{e9}w"),
            ("attachment; filename=folder/", "b c.txt"),
            ("inline", "b c.txt"),
            ("attachment; filename=\"open", "open"),
        ] {
            assert_eq!(name(url, "", Some(disposition)), expected, "{disposition}");
        }
    }
}
