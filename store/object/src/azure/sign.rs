//! Signatures of requests: "Authorize with Shared Key" of Azure's REST reference.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use slipway_model::Redacted;
use slipway_registry::ExchangePayload;
use time::OffsetDateTime;
use time::macros::format_description;
use url::Url;

/// As `x-ms-date` has it.
pub(super) fn date(now: OffsetDateTime) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    now.format(form).unwrap_or_default()
}

/// The value of `Authorization`. All of `headers` are sent; names are lower case.
pub(super) fn authorization(
    account: &str,
    key: &Redacted<Vec<u8>>,
    method: &str,
    url: &Url,
    headers: &[(&str, String)],
    payload: &ExchangePayload,
) -> String {
    let text = string_to_sign(account, method, url, headers, payload);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    format!("SharedKey {account}:{signature}")
}

fn string_to_sign(
    account: &str,
    method: &str,
    url: &Url,
    headers: &[(&str, String)],
    payload: &ExchangePayload,
) -> String {
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let (length, kind) = match payload {
        ExchangePayload::Empty => (0, header("content-type")),
        ExchangePayload::Bytes(bytes) => (bytes.len() as u64, header("content-type")),
        // The transport says what blobs are.
        ExchangePayload::Blob { length, .. } => (*length, "application/octet-stream"),
    };
    let length = if length == 0 { String::new() } else { length.to_string() };
    // Encoding, language, length, MD5, type, date, four conditions, range.
    let condition = header("if-none-match");
    let mut text = format!("{method}\n\n\n{length}\n\n{kind}\n\n\n\n{condition}\n\n\n");
    let mut own: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("/{account}{}", url.path()));
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    query.sort();
    for (name, value) in query {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_is_signed_is_in_the_order_of_the_documentation() {
        let url: Url = "https://mine.blob.core.windows.net/box/a%20b?timeout=20&comp=block&blockid=AA%3D%3D"
            .parse()
            .unwrap();
        let headers = [
            ("x-ms-version", "2021-12-02".to_owned()),
            ("if-none-match", "*".to_owned()),
            ("x-ms-date", date(datetime!(2015-06-26 23:39:12 UTC))),
        ];
        let payload = ExchangePayload::Bytes("12345".into());
        let text = string_to_sign("mine", "PUT", &url, &headers, &payload);
        assert_eq!(
            text,
            "PUT\n\n\n5\n\n\n\n\n\n*\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2021-12-02\n\
             /mine/box/a%20b\nblockid:AA==\ncomp:block\ntimeout:20"
        );
    }
}
