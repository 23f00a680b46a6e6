//! Signatures of requests: "Authenticating Requests (AWS Signature Version 4)" of Amazon's S3 API reference.
//!
//! The body of a blob is covered by the digest that it is stored under, so the server checks it, too. Parts of one,
//! whose digests nobody knows before they were read, are sent unsigned, as the protocol allows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::hmac;
use slipway_model::{Digest, Redacted};
use time::OffsetDateTime;
use time::macros::format_description;

/// Stands for a body that the signature does not cover.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who signs.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) key_id: String,
    pub(super) secret: Redacted<String>,
    pub(super) session_token: Option<Redacted<String>>,
}

/// What is signed. Names of headers are lower case.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// Encoded, as it is sent.
    pub(super) path: &'a str,
    /// Encoded and sorted, as it is sent.
    pub(super) query: &'a str,
    /// All that are to be signed: `host` and every `x-amz-…`.
    pub(super) headers: &'a BTreeMap<String, String>,
    /// SHA-256 in hexadecimal digits, or [`UNSIGNED`].
    pub(super) payload: &'a str,
}

impl Credentials {
    /// The value of `Authorization`.
    pub(super) fn sign(&self, region: &str, now: OffsetDateTime, unsigned: &Unsigned<'_>) -> String {
        let Unsigned { method, path, query, headers, payload } = unsigned;
        let names: Vec<&str> = headers.keys().map(String::as_str).collect();
        let names = names.join(";");
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for (name, value) in headers.iter() {
            canonical.push_str(&format!("{name}:{}\n", value.trim()));
        }
        canonical.push_str(&format!("\n{names}\n{payload}"));
        let (stamp, day) = (time_stamp(now), day(now));
        let scope = format!("{day}/{region}/s3/aws4_request");
        let digest = hex_digest(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let mut key = mac(format!("AWS4{}", self.secret.expose()).as_bytes(), day.as_bytes());
        for part in [region, "s3", "aws4_request"] {
            key = mac(key.as_ref(), part.as_bytes());
        }
        let signature = hex(mac(key.as_ref(), text.as_bytes()).as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.key_id
        )
    }
}

/// `20130524T000000Z`
pub(super) fn time_stamp(now: OffsetDateTime) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    now.format(form).unwrap_or_default()
}

fn day(now: OffsetDateTime) -> String {
    now.format(format_description!("[year][month][day]")).unwrap_or_default()
}

pub(super) fn hex_digest(bytes: &[u8]) -> String {
    match Digest::of(bytes) {
        Digest::Sha256(hash) => hex(&hash),
        Digest::Sha512(hash) => hex(&hash),
    }
}

/// Everything but unreserved characters as `%XX`; `/` too, unless it is a path.
pub(super) fn encode(text: &str, is_path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            b'/' if is_path => encoded.push('/'),
            // Writing into a string does not fail.
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// The examples of the documentation.
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let credentials = Credentials {
            key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Redacted::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            session_token: None,
        };
        let check = |method, path, query, more: &[(&str, &str)], body: &[u8], expected: &str| {
            let payload = hex_digest(body);
            let mut headers: BTreeMap<String, String> =
                more.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            headers.insert("host".into(), "examplebucket.s3.amazonaws.com".into());
            headers.insert("x-amz-date".into(), "20130524T000000Z".into());
            headers.insert("x-amz-content-sha256".into(), payload.clone());
            let unsigned = Unsigned { method, path, query, headers: &headers, payload: &payload };
            let signed = credentials.sign("us-east-1", datetime!(2013-05-24 0:00 UTC), &unsigned);
            assert!(signed.ends_with(&format!("Signature={expected}")), "{method} {path}: {signed}");
        };
        check(
            "GET",
            "/test.txt",
            "",
            &[("range", "bytes=0-9")],
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        assert_eq!(encode("/test$file.text", true), "/test%24file.text");
        check(
            "PUT",
            "/test%24file.text",
            "",
            &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(
            "GET",
            "/",
            "lifecycle=",
            &[],
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            "GET",
            "/",
            "max-keys=2&prefix=J",
            &[],
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = Redacted::new("s3cret".to_owned());
        let credentials = Credentials { key_id: "id".into(), session_token: Some(secret.clone()), secret };
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
}
