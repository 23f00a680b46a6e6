//! `ONBUILD` of a base: instructions that run first in the stage built on it.

use std::sync::Arc;

use super::Lowering;
use super::stage::Planned;
use crate::dockerfile::{Command, parse_trigger};
use crate::error::Failure;

impl Lowering<'_> {
    /// Puts the triggers of a base before the instructions of the stage, once. True if they name
    /// stages or images, which then have to be resolved.
    pub(super) fn add_triggers(&mut self, index: usize) -> Result<bool, Failure> {
        let mut triggers = std::mem::take(&mut self.stages[index].image.config.on_build);
        if let Some(base) = self.stages[index].base
            && !std::mem::replace(&mut self.stages[index].has_triggers, true)
        {
            triggers.extend(self.stages[base].commands.iter().filter_map(|planned| {
                match &planned.instruction.command {
                    Command::OnBuild(trigger) => Some(trigger.0.clone()),
                    _ => None,
                }
            }));
        }
        if triggers.is_empty() {
            return Ok(false);
        }
        let ranges = self.stages[index].ranges.clone();
        let planned = self.plan_triggers(index, &triggers).map_err(|failure| failure.only_at(&ranges))?;
        let grown = planned.iter().any(|planned| !planned.sources.is_empty());
        let stage = &mut self.stages[index];
        stage.progress.total += planned.len();
        stage.commands.splice(0..0, planned);
        Ok(grown)
    }

    fn plan_triggers(&mut self, index: usize, triggers: &[String]) -> Result<Vec<Planned>, Failure> {
        let ranges = self.stages[index].ranges.clone();
        let (first, last) = (ranges.first().copied(), ranges.last().copied());
        let span: Vec<_> = match (first, last) {
            (Some(first), Some(last)) => crate::dockerfile::Range::lines(first.start.line, last.end.line),
            _ => Vec::new(),
        };
        let mut planned = Vec::new();
        for text in triggers {
            let instruction = parse_trigger(text, &span, self.request.language)
                .map_err(|error| Failure::new(error.to_string()))?;
            let instruction = Arc::new(instruction);
            let scope = self.source_scope(std::iter::once(&*instruction));
            let sources = self.sources_of(&instruction, scope.as_ref())?;
            self.stages[index].dependencies.add(&sources, &instruction);
            planned.push(Planned { instruction, sources, is_trigger: true });
        }
        Ok(planned)
    }
}
