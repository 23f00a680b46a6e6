//! A folder of the client. Nothing about it is known before it is sent, so the key is only good
//! within its session; what leads to earlier results is the content digest afterwards.

use slipway_model::Digest;
use slipway_model::llb::pb;

use super::super::go_json::object;
use super::super::{CacheKey, CacheKeyError};
use super::{error, key, parse_bool};

/// `local://`, as the operation says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalIdentifier {
    /// The client's name of the folder, behind the prefix of its session if that has one.
    pub name: String,
    /// Whose client to ask; `None` for any session of the build.
    pub session: Option<String>,
    /// A list that was not given differs from an empty one, in the key.
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub follow: Option<Vec<String>>,
    /// Builds with the same hint start from each other's copy of the folder.
    pub shared_key_hint: String,
    /// Send everything, also what looks unchanged.
    pub always_differ: bool,
    pub metadata_only: bool,
    pub metadata_exceptions: Option<Vec<String>>,
}

impl LocalIdentifier {
    /// `name` is the identifier without its scheme.
    pub fn parse(name: &str, op: &pb::SourceOp) -> Result<Self, CacheKeyError> {
        let mut identifier = Self { name: name.to_owned(), ..Self::default() };
        for (attribute, value) in &op.attrs {
            match attribute.as_str() {
                "local.session" => identifier.set_session(value),
                "local.includepattern" => identifier.include = parse_list(value)?,
                "local.excludepatterns" => identifier.exclude = parse_list(value)?,
                "local.followpaths" => identifier.follow = parse_list(value)?,
                "local.sharedkeyhint" => identifier.shared_key_hint = value.clone(),
                "local.differ" => identifier.always_differ = value == "none",
                "local.metadatatransfer" => {
                    identifier.metadata_only = parse_bool(value).ok_or_else(|| {
                        error(format!("invalid value for local.metadatatransfer {value:?}"))
                    })?;
                }
                "local.metadatatransferexclude" => identifier.metadata_exceptions = parse_list(value)?,
                _ => {}
            }
        }
        Ok(identifier)
    }

    fn set_session(&mut self, value: &str) {
        let session = match value.split_once(':') {
            Some((prefix, session)) => {
                self.name = format!("{prefix}-{}", self.name);
                session
            }
            None => value,
        };
        self.session = Some(session.to_owned()).filter(|session| !session.is_empty());
    }

    /// `session` is the one that will be asked.
    pub fn key(&self, session: &str) -> CacheKey {
        let preimage = object(|fields| {
            fields
                .always("SessionID", session)
                .always("IncludePatterns", &self.include)
                .always("ExcludePatterns", &self.exclude)
                .always("FollowPaths", &self.follow)
                .some("MetadataTransfer", &self.metadata_only)
                .some("MetadataExceptions", &self.metadata_exceptions.clone().unwrap_or_default())
        });
        key(&format!("session:{}:{}", self.name, Digest::of(preimage)))
    }
}

fn parse_list(value: &str) -> Result<Option<Vec<String>>, CacheKeyError> {
    serde_json::from_str(value).map_err(|problem| error(format!("invalid list {value:?}: {problem}")))
}
