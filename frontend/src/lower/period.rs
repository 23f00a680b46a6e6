//! `--cache-ttl`: results that may be used for so long.
//!
//! Time is cut into periods of that length, counted from 1970, and the start of the current one counts
//! for the cache: so the instruction runs in the first build of each period, and a result is never used
//! for longer. It changes nothing of what the instruction makes:
//!
//! | operation | holds the start of the period as |
//! |---|---|
//! | a command | the variable `SLIPWAY_CACHE_PERIOD`, of its process only |
//! | a copy | a file on scratch that no action uses |

use pb::file_action::Action;
use slipway_model::llb::{Node, pb};

use super::Lowering;
use crate::dockerfile::instruction::CacheControl;

pub(super) const VARIABLE: &str = "SLIPWAY_CACHE_PERIOD";

impl Lowering<'_> {
    /// The start of the period, in seconds since 1970.
    pub(super) fn period(&self, cache: CacheControl) -> Option<String> {
        let now = self.request.language.extensions?.now;
        let length = cache.time_to_live?;
        Some((now - now.rem_euclid(length)).to_string())
    }
}

/// Makes copies count for the period.
pub(super) fn limit(node: &mut Node, period: Option<String>) {
    let (Some(period), Some(pb::op::Op::File(file))) = (period, &mut node.op.op) else { return };
    let note = pb::FileActionMkFile {
        path: "/period".to_owned(),
        mode: 0o644,
        data: period.into(),
        timestamp: -1,
        ..pb::FileActionMkFile::default()
    };
    file.actions.push(pb::FileAction {
        input: -1,
        secondary_input: -1,
        output: -1,
        action: Some(Action::Mkfile(note)),
    });
}
