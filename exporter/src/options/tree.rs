//! Options of `local` and `tar`.

use super::{OptionMap, Untaken, invalid};
use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// Outer `None`: what the build says.
    pub epoch: Option<Option<i64>>,
    /// A folder for each platform; `None`: if there are several.
    pub platform_split: Option<bool>,
}

impl TreeOptions {
    pub fn parse(exporter: &'static str, map: &OptionMap) -> Result<Self> {
        let mut options = Untaken::new(exporter, map);
        options.ignore("dest"); // The client's own business, as is what it does with files that are there.
        match options.take("mode").as_deref() {
            None | Some("" | "copy" | "delete") => {}
            Some(other) => return Err(invalid("mode", other, "use copy or delete")),
        }
        options.ignore("attestation-prefix");
        let parsed =
            Self { epoch: options.take_epoch()?, platform_split: options.take_bool("platform-split")? };
        options.finish()?;
        Ok(parsed)
    }
}
