//! `slipway debug fsck`: all rooms asked what is wrong in a root that nobody uses.

use std::path::Path;

pub use slipway_store::check::Finding;
use slipway_store::check::Inspection;

use crate::{Error, Result};

/// What was found in a root.
pub struct Checked {
    pub findings: Vec<Finding>,
    /// The last daemon was cut off: what it left behind is tidied up by the next one.
    pub unclean: bool,
}

/// Looks at everything below `root`; with `deep` also at the content of each blob. Fails if a daemon uses it.
pub fn check(root: &Path, deep: bool) -> Result<Checked> {
    let inspection = Inspection::open(root).map_err(Error::Store)?;
    let mut findings = inspection.findings(deep).map_err(Error::Store)?;
    let damaged = findings.iter().any(|finding| finding.kind.starts_with("database"));
    if !damaged {
        let exists = |name: &str| slipway_worker::results::exists(&inspection, name);
        findings.extend(inspection.ask(|db| slipway_cache::check::check(db, exists)));
        findings.extend(inspection.ask(slipway_exporter::images::check));
    }
    Ok(Checked { findings, unclean: inspection.was_left_unclean() })
}
