//! What a client says about a build, without what nobody else should know.
//!
//! | what | becomes |
//! |---|---|
//! | `https://user:password@host`, `https://token@host`, anywhere in a value | `https://xxxxx@host` |
//! | attributes of caches and exporters named like a secret (`token`, `secret_access_key`) | `xxxxx` |
//! | build arguments named like a secret (`GITHUB_TOKEN`, `DB_PASSWORD`) | `xxxxx` |
//!
//! Secrets as such (`--secret`) never come this far: they are asked for through the session, by id.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_proto::control::CacheOptionsEntry;

pub(crate) const HIDDEN: &str = "xxxxx";

/// Words that name secrets.
const SECRET: &[&str] = &[
    "apikey",
    "auth",
    "credential",
    "credentials",
    "ghtoken",
    "key",
    "password",
    "passwd",
    "pword",
    "secret",
    "token",
];
/// Words that say that it is none.
const PUBLIC: &[&str] = &["public"];

/// Options of a frontend.
pub(super) fn options(options: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let option = |(key, value): (String, String)| {
        let value = match key.as_str() {
            "cache-imports" | "cache-exports" => cache_json(&value),
            key => match key.strip_prefix("build-arg:") {
                Some(name) if is_secret(name) => HIDDEN.to_owned(),
                _ => addresses(&value),
            },
        };
        (key, value)
    };
    options.into_iter().map(option).collect()
}

/// Attributes of an exporter or a cache.
pub(super) fn attributes(attributes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let attribute = |(key, value): (String, String)| {
        let value = if is_secret(&key) { HIDDEN.to_owned() } else { addresses(&value) };
        (key, value)
    };
    attributes.into_iter().map(attribute).collect()
}

/// In the form in which clients write `cache-imports`.
pub(super) fn cache_options(entries: Vec<CacheOptionsEntry>) -> String {
    let entry = |entry: CacheOptionsEntry| json!({ "Type": entry.r#type, "Attrs": attributes(entry.attrs) });
    Value::Array(entries.into_iter().map(entry).collect()).to_string()
}

fn cache_json(text: &str) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        #[serde(default)]
        r#type: String,
        #[serde(default)]
        attrs: BTreeMap<String, String>,
    }
    match serde_json::from_str::<Vec<Entry>>(text) {
        Ok(entries) => cache_options(
            entries
                .into_iter()
                .map(|entry| CacheOptionsEntry { r#type: entry.r#type, attrs: entry.attrs })
                .collect(),
        ),
        // Not what it should be: nobody knows what is in it.
        Err(_) => String::new(),
    }
}

/// Whether a value of this name is nobody else's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let words = || name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    words().any(|word| SECRET.contains(&&*word)) && !words().any(|word| PUBLIC.contains(&&*word))
}

/// Hides accounts in all addresses of `text`.
pub(crate) fn addresses(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| "/?#,\"'".contains(c) || c.is_whitespace()).unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        match authority.rsplit_once('@') {
            // `ssh://git@host` tells nothing.
            Some((account, host))
                if before.ends_with("http://") || before.ends_with("https://") || account.contains(':') =>
            {
                shown.push_str(HIDDEN);
                shown.push('@');
                shown.push_str(host);
            }
            _ => shown.push_str(authority),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn accounts_in_addresses_are_hidden() {
        for (text, shown) in [
            ("https://me:pass@host/x.git#main", "https://xxxxx@host/x.git#main"),
            ("https://token@host", "https://xxxxx@host"),
            ("https://a:p@ss@host", "https://xxxxx@host"),
            ("a=https://u:p@h/1,b=http://u:p@h/2", "a=https://xxxxx@h/1,b=http://xxxxx@h/2"),
            ("ssh://git@host/x", "ssh://git@host/x"),
            ("ssh://git:pass@host/x", "ssh://xxxxx@host/x"),
            ("https://host/a@b", "https://host/a@b"),
            ("me@host", "me@host"),
            ("://", "://"),
        ] {
            assert_eq!(addresses(text), shown);
        }
    }

    #[test]
    fn what_is_named_like_a_secret_is_hidden() {
        let mut shown = options(map(&[
            ("build-arg:GITHUB_TOKEN", "abc"),
            ("build-arg:PUBLIC_KEY", "abc"),
            ("build-arg:MONKEY", "abc"),
            ("build-arg:HTTP_PROXY", "http://u:p@proxy:1"),
            ("target", "token"),
            ("cache-imports", r#"[{"Type":"s3","Attrs":{"secret_access_key":"abc","bucket":"b"}}]"#),
            ("cache-exports", "not json, abc"),
        ]));
        let imports: Value = serde_json::from_str(&shown.remove("cache-imports").unwrap()).unwrap();
        let attributes = json!({ "bucket": "b", "secret_access_key": "xxxxx" });
        assert_eq!(imports, json!([{ "Type": "s3", "Attrs": attributes }]));
        let expected = map(&[
            ("build-arg:GITHUB_TOKEN", "xxxxx"),
            ("build-arg:PUBLIC_KEY", "abc"),
            ("build-arg:MONKEY", "abc"),
            ("build-arg:HTTP_PROXY", "http://xxxxx@proxy:1"),
            ("target", "token"),
            ("cache-exports", ""),
        ]);
        assert_eq!(shown, expected);
    }
}
