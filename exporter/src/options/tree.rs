//! Options of `local` and `tar`.

use super::{OptionMap, Untaken, invalid};
use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// Outer `None`: what the build says.
    pub epoch: Option<Option<i64>>,
    /// A folder for each platform; `None`: if there are several.
    pub platform_split: Option<bool>,
    /// What is said about the result goes along.
    pub attestations: bool,
    /// In front of the names of files with attestations.
    pub attestation_prefix: String,
    /// The client removes what is not sent, so everything comes in one transfer.
    pub deletes: bool,
}

impl TreeOptions {
    pub fn parse(exporter: &'static str, map: &OptionMap) -> Result<Self> {
        let mut options = Untaken::new(exporter, map);
        options.ignore("dest"); // The client's own business, as is what it does with files that are there.
        let deletes = match options.take("mode").as_deref() {
            None | Some("" | "copy") => false,
            Some("delete") => true,
            Some(other) => return Err(invalid("mode", other, "use copy or delete")),
        };
        let attestations = match options.take("attestations").as_deref() {
            None | Some("files") => true,
            Some("none") => false,
            Some(other) => return Err(invalid("attestations", other, "use files or none")),
        };
        let parsed = Self {
            epoch: options.take_epoch()?,
            platform_split: options.take_bool("platform-split")?,
            attestations,
            attestation_prefix: options.take("attestation-prefix").unwrap_or_default(),
            deletes,
        };
        options.finish()?;
        Ok(parsed)
    }
}
