//! What a bill of materials tells of beside the result: stages and the build context, if the Dockerfile says so.
//!
//! | argument | what is scanned |
//! |---|---|
//! | `BUILDKIT_SBOM_SCAN_STAGE` | the stage |
//! | `BUILDKIT_SBOM_SCAN_CONTEXT`, in the target | the build context |
//!
//! The value is a boolean or a list of stages. `ARG` sets it for one stage, in front of the first `FROM` for all. What
//! is done with it is up to the builder.

use std::collections::BTreeMap;

use slipway_model::llb::pb;

use super::Lowering;
use super::stage::StageState;
use crate::dockerfile::values::parse_bool;

const CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";
const STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";

impl Lowering<'_> {
    /// Of a stage whose last instruction was dispatched: its state may be handed on to the next.
    pub(super) fn note_scans(&self, stage: &mut StageState) {
        if stage.is_unregistered {
            return;
        }
        let name = scanned_name(stage).to_owned();
        let is_wanted = |key: &str| {
            let own = stage.arguments.iter().rev().find(|argument| argument.key == key);
            let own = own.and_then(|argument| argument.value.as_deref());
            own.or_else(|| self.global.value(key)).is_some_and(|value| names(value, &name))
        };
        let (context, itself) = (is_wanted(CONTEXT), is_wanted(STAGE));
        stage.scans_context = context;
        stage.scanned = itself.then_some(stage.state.output);
    }

    /// Graphs by the names that scanners see.
    pub(super) fn scans(&self, target: usize) -> BTreeMap<String, pb::Definition> {
        let mut scans = BTreeMap::new();
        for (index, stage) in self.stages.iter().enumerate().filter(|(index, _)| *index != target) {
            if let (Some(output), true) = (stage.scanned, stage.is_dispatched) {
                let name = Some(scanned_name(stage)).filter(|name| !name.is_empty());
                let name = name.map_or_else(|| format!("stage-{index}"), str::to_owned);
                scans.insert(name, self.graph.definition(output, &[]));
            }
        }
        if self.stages[target].scans_context {
            scans.insert("context".to_owned(), self.graph.definition(self.context, &[]));
        }
        scans
    }
}

fn scanned_name(stage: &StageState) -> &str {
    if stage.alias.is_empty() { &stage.name } else { &stage.alias }
}

fn names(value: &str, stage: &str) -> bool {
    parse_bool(value).unwrap_or_else(|| value.split(',').any(|name| name == stage))
}
