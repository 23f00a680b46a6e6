//! A file from a web server. The URL does not count; the body, its name and its times do.

use slipway_model::Digest;
use slipway_model::llb::pb;
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::go_json::{Object, Value, object};
use super::super::{CacheKey, CacheKeyError};
use super::{error, key, parse_digest, parse_integer};

/// Headers a build may set; others are dropped without a word, as the reference does.
const HEADERS: [&str; 2] = ["Accept", "User-Agent"];

/// `http://` or `https://`, as the operation says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpIdentifier {
    pub url: String,
    /// What the body must hash to. Then the server need not be asked for the key.
    pub checksum: Option<Digest>,
    /// The name to give the file, instead of the one the response or the URL suggests.
    pub filename: String,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    /// Name of the secret sent as `Authorization`.
    pub auth_header_secret: String,
    /// Canonical name and value, sorted by name.
    pub headers: Vec<(&'static str, String)>,
    /// An OpenPGP signature to check the body against, and the key to do it with.
    pub signature: Option<(String, String)>,
}

impl HttpIdentifier {
    pub fn parse(op: &pb::SourceOp) -> Result<Self, CacheKeyError> {
        let mut identifier = Self { url: op.identifier.clone(), ..Self::default() };
        let (mut signature, mut public_key) = (String::new(), String::new());
        for (name, value) in &op.attrs {
            match name.as_str() {
                "http.checksum" => identifier.checksum = Some(parse_digest(value)?),
                "http.filename" => identifier.filename = value.clone(),
                "http.perm" => identifier.mode = parse_integer(value)?,
                "http.uid" => identifier.uid = parse_integer(value)?,
                "http.gid" => identifier.gid = parse_integer(value)?,
                "http.authheadersecret" => identifier.auth_header_secret = value.clone(),
                "http.sig.signature" => signature = value.clone(),
                "http.sig.pubkey" => public_key = value.clone(),
                other => {
                    identifier.headers.extend(allowed_header(other).map(|header| (header, value.clone())))
                }
            }
        }
        identifier.headers.sort_by_key(|(name, _)| *name);
        if signature.is_empty() != public_key.is_empty() {
            return Err(error("http signature verification requires both pubkey and signature"));
        }
        identifier.signature = (!signature.is_empty()).then_some((signature, public_key));
        Ok(identifier)
    }

    /// `filename` is the one the file gets; `modified` what the server said, if it was asked.
    pub fn key(&self, filename: &str, body: &Digest, modified: Option<OffsetDateTime>) -> CacheKey {
        let modified = modified.map(http_date).unwrap_or_default();
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| Header { name, value }).collect();
        let preimage = object(|fields| {
            fields
                .always("Filename", filename)
                .always("Perm", &self.mode)
                .always("UID", &self.uid)
                .always("GID", &self.gid)
                .always("Checksum", &body.to_string())
                .some("LastModTime", &modified)
                .some("AuthHeaderSecret", &self.auth_header_secret)
                .some("Header", &headers)
        });
        key(&Digest::of(preimage).to_string())
    }
}

fn allowed_header(attribute: &str) -> Option<&'static str> {
    let name = attribute.strip_prefix("http.header.")?;
    HEADERS.into_iter().find(|allowed| allowed.eq_ignore_ascii_case(name))
}

struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

impl Value for Header<'_> {
    fn write(&self, out: &mut String) {
        Object::begin(out).always("Name", self.name).always("Value", self.value).end();
    }
}

/// The form of RFC 9110, section 5.6.7: `Mon, 06 May 2024 07:08:09 GMT`.
fn http_date(at: OffsetDateTime) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at.to_offset(time::UtcOffset::UTC).format(&form).unwrap_or_default()
}
