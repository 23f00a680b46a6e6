//! Values that nobody should find in a database: what a variable's name says is a secret is kept as a
//! digest, which tells that it changed and nothing else.
//!
//! Contents of secrets and of ssh agents never come here: a cache key holds their ids only. What is left
//! are build arguments and variables, which are no place for secrets but are used as one.

use slipway_model::Digest;

const TELLING: [&str; 10] = [
    "secret",
    "token",
    "passw",
    "passphrase",
    "credential",
    "apikey",
    "api_key",
    "private_key",
    "access_key",
    "auth",
];

/// Whether a variable of this name probably holds a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
        || name.split('_').any(|word| word == "key" || word == "pwd" || word == "pass")
}

/// The value as it may be kept. `salt` is the store's own, so that a digest cannot be looked up elsewhere.
pub fn value(name: &str, value: &str, salt: &str) -> String {
    if !is_secret(name) || value.is_empty() {
        return without_credentials(value);
    }
    let digest = Digest::of([salt, "\0", name, "\0", value].concat());
    format!("[hidden {}]", digest.hex().get(..8).unwrap_or_default())
}

/// `https://user:password@host` without the part before the `@`, wherever it stands.
pub fn without_credentials(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after
            .find(|c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace())
            .unwrap_or(after.len());
        let (authority, left) = after.split_at(end);
        match authority.rsplit_once('@') {
            // A digest after a name is no password.
            Some((user, host)) if user.contains(':') && !host.starts_with("sha256:") => {
                clean.push_str("[hidden]@");
                clean.push_str(host);
            }
            _ => clean.push_str(authority),
        }
        rest = left;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_kept() {
        for name in ["NPM_TOKEN", "DB_PASSWORD", "SIGNING_KEY", "AWS_SECRET_ACCESS_KEY", "auth"] {
            let (one, other) = (value(name, "one", "salt"), value(name, "other", "salt"));
            assert!(!one.contains("one") && one != other, "{name}: {one}");
            assert_eq!(value(name, "one", "salt"), one);
            assert_ne!(value(name, "one", "other salt"), one);
        }
        for name in ["VERSION", "KEYBOARD", "MONKEY", "PATH"] {
            assert_eq!(value(name, "one", "salt"), "one", "{name}");
        }
    }

    #[test]
    fn addresses_lose_their_passwords() {
        assert_eq!(
            without_credentials("git clone https://me:hunter2@host.example/a && curl http://x/y@z"),
            "git clone https://[hidden]@host.example/a && curl http://x/y@z"
        );
        let pinned = "docker-image://host:5000/a:1@sha256:00";
        assert_eq!(without_credentials(pinned), pinned);
    }
}
