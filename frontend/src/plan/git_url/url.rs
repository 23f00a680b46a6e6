//! The parts of a git URL, whatever they ask for.

use super::GitError;
use slipway_model::lexical::clean_text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitUrl {
    /// `http`, `https`, `ssh` or `git`.
    pub scheme: String,
    /// `user[:password]` as written.
    pub user: Option<String>,
    /// With a port if there is one.
    pub host: String,
    /// Percent-decoded.
    pub path: String,
    /// In order; decoded. A pair that does not decode is left out.
    pub query: Vec<(String, String)>,
    pub fragment: Option<Fragment>,
    /// What git is to be called with: without query and fragment.
    pub remote: String,
}

/// `#reference[:folder]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub reference: String,
    /// Relative, without `..`.
    pub folder: String,
}

impl GitUrl {
    pub fn parse(text: &str) -> Result<Self, GitError> {
        match protocol(text) {
            Some(scheme) if is_supported(&scheme) => Self::parse_url(text),
            Some(scheme) => Err(GitError::InvalidProtocol(scheme)),
            None => parse_scp(text).ok_or(GitError::UnknownProtocol),
        }
    }

    /// Whether git could be called with it: protocols it knows, and scp's form.
    pub fn is_transport(text: &str) -> bool {
        match protocol(text) {
            Some(scheme) => is_supported(&scheme),
            None => parse_scp(text).is_some(),
        }
    }

    /// `scheme://[user@]host/path[?query][#fragment]`.
    pub(super) fn parse_url(text: &str) -> Result<Self, GitError> {
        let invalid = || GitError::Url(text.to_owned());
        let (before, fragment) = split_once_or_all(text, '#');
        let (before, query) = split_once_or_all(before, '?');
        let (scheme, rest) = before.split_once("://").ok_or_else(invalid)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let odd = |c: char| c.is_control() || c == ' ';
        if text.contains(char::is_control) || host.contains(odd) || !has_good_port(host) {
            return Err(invalid());
        }
        let scheme = scheme.to_lowercase();
        Ok(Self {
            remote: format!("{scheme}://{}", &before[before.len() - rest.len()..]),
            scheme,
            user,
            host: host.to_owned(),
            path: decode(path, false).ok_or_else(invalid)?,
            query: parse_query(query),
            fragment: parse_fragment(&decode(fragment, false).ok_or_else(invalid)?),
        })
    }
}

/// `user@host:path`.
fn parse_scp(text: &str) -> Option<GitUrl> {
    let (user, rest) = text.split_once('@')?;
    let (host, rest) = rest.split_once(':')?;
    let word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !word(user, "-_") || !word(host, "-.") || rest.contains('\n') {
        return None;
    }
    // A `?` behind the `#` belongs to the fragment.
    let (before, fragment) = split_once_or_all(rest, '#');
    let (path, query) = split_once_or_all(before, '?');
    Some(GitUrl {
        scheme: "ssh".to_owned(),
        user: Some(user.to_owned()),
        host: host.to_owned(),
        path: path.to_owned(),
        query: parse_query(query),
        fragment: parse_fragment(fragment),
        remote: format!("{user}@{host}:{path}"),
    })
}

/// The lower-cased scheme of `scheme://…`.
fn protocol(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    is_scheme.then(|| scheme.to_lowercase())
}

fn is_supported(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ssh" | "git")
}

fn split_once_or_all(text: &str, at: char) -> (&str, &str) {
    text.split_once(at).unwrap_or((text, ""))
}

fn has_good_port(host: &str) -> bool {
    match host.rsplit_once(':') {
        Some((_, port)) if !host.ends_with(']') => port.bytes().all(|b| b.is_ascii_digit()),
        _ => true,
    }
}

fn parse_fragment(text: &str) -> Option<Fragment> {
    if text.is_empty() {
        return None;
    }
    let (reference, folder) = split_once_or_all(text, ':');
    let folder = clean_text(&format!("/{folder}")).trim_start_matches('/').to_owned();
    Some(Fragment { reference: reference.to_owned(), folder })
}

fn parse_query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    pairs
        .filter_map(|pair| {
            let (key, value) = split_once_or_all(pair, '=');
            Some((decode(key, true)?, decode(value, true)?))
        })
        .collect()
}

/// Percent-decoding; in a query a `+` is a space.
fn decode(text: &str, in_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if in_query => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
