//! From results to manifests: layers, config, manifest for each platform, and the index over them.
//!
//! All blobs end up in the store. The bytes are those of the reference where they can be: keys in its
//! order, two spaces of indentation for manifests, none for configs.

mod commit;
mod config;
mod history;
pub(crate) mod json;

pub use commit::epoch_of;
pub use commit::{Committed, CommittedImage, StoredJson, commit};
pub(crate) use commit::{put, source_epoch};
pub use config::finish_config;
pub(crate) use history::date;
pub use history::{Dates, Times, line_up};

/// The seconds since 1970 that a text of the frontend's (`source.date.epoch`) gives.
pub(crate) fn parse_epoch(text: &[u8]) -> crate::error::Result<Option<i64>> {
    let text = String::from_utf8_lossy(text);
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| crate::options::invalid("source.date.epoch", &*text, "expected seconds since 1970"))
}
