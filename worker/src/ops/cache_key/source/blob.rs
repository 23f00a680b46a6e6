//! One blob of a registry or of a layout at the client, as a file.

use slipway_model::Digest;
use slipway_model::llb::pb;

use super::super::go_json::object;
use super::super::{CacheKey, CacheKeyError};
use super::image::{RecordType, parse_record_type, split_reference};
use super::{error, key, parse_digest, parse_integer};

/// `docker-image+blob://` or `oci-layout+blob://`, as the operation says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobIdentifier {
    pub locator: String,
    pub digest: Digest,
    /// As asked for; the source makes it safe before it is keyed.
    pub filename: String,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    pub record_type: RecordType,
    pub session: Option<String>,
    pub store: Option<String>,
}

impl BlobIdentifier {
    /// `reference` is the identifier without its scheme; it must hold a digest.
    pub fn parse(reference: &str, op: &pb::SourceOp) -> Result<Self, CacheKeyError> {
        let (locator, object) = split_reference(reference)?;
        let digest = object.split_once('@').map_or("", |(_, digest)| digest);
        let digest =
            parse_digest(digest).map_err(|problem| error(format!("invalid reference digest: {problem}")))?;
        let mut identifier = Self {
            locator,
            digest,
            filename: String::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            record_type: RecordType::default(),
            session: None,
            store: None,
        };
        for (name, value) in &op.attrs {
            match name.as_str() {
                "http.filename" => identifier.filename = value.clone(),
                "http.perm" => identifier.mode = parse_integer(value)?,
                "http.uid" => identifier.uid = parse_integer(value)?,
                "http.gid" => identifier.gid = parse_integer(value)?,
                "image.recordtype" => identifier.record_type = parse_record_type(value)?,
                "oci.session" => identifier.session = Some(value.clone()),
                "oci.store" => identifier.store = Some(value.clone()),
                _ => {}
            }
        }
        Ok(identifier)
    }

    pub fn key(&self) -> CacheKey {
        let preimage = object(|fields| {
            fields
                .always("Digest", &self.digest.to_string())
                .always("Filename", &self.filename)
                .always("Perm", &self.mode)
                .always("UID", &self.uid)
                .always("GID", &self.gid)
        });
        key(&Digest::of(preimage).to_string())
    }
}
