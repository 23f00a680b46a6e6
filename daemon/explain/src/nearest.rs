//! The explanation of a step: what it differs in from the nearest earlier one, or what else it was.

use std::sync::Arc;

use crate::build::{Build, Outcome, Step};
use crate::cause::{Cause, Kind};
use crate::compare::{Comparison, Materials};

/// A candidate, the step in it that is the counterpart, and what differs.
type Counterpart = (usize, usize, Arc<Vec<Cause>>);

/// Why a step had to be worked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Where among the candidates; none if nothing was similar.
    pub compared: Option<usize>,
    pub causes: Vec<Cause>,
}

/// Explains steps of one build by earlier ones.
pub struct Nearest<'a> {
    new: &'a Build,
    candidates: Vec<Comparison<'a>>,
    earlier: &'a [Build],
}

impl<'a> Nearest<'a> {
    /// `earlier`: the most recent first.
    pub fn new(new: &'a Build, earlier: &'a [Build], materials: &'a dyn Materials) -> Self {
        let candidates = earlier.iter().map(|old| Comparison::new(new, old, materials)).collect();
        Self { new, candidates, earlier }
    }

    /// `files` says in how many things the files differ that a cause speaks of.
    pub fn explain(&mut self, index: usize, files: &mut dyn FnMut(&Cause) -> usize) -> Explanation {
        let Some(step) = self.new.steps.get(index) else {
            return Explanation { compared: None, causes: Vec::new() };
        };
        let alone = |kind| Explanation {
            compared: None,
            causes: vec![Cause::new(kind, "").of(&step.vertex, &step.name)],
        };
        if let Some(kind) = step.own_reason() {
            return alone(kind);
        }
        let Some((candidate, old, causes)) = self.nearest(index, files) else { return alone(Kind::First) };
        let before = self.earlier.get(candidate).and_then(|build| build.steps.get(old));
        let causes = match before {
            Some(before) if causes.is_empty() => vec![self.reason(step, before)],
            _ => causes.to_vec(),
        };
        Explanation { compared: Some(candidate), causes }
    }

    /// The candidate that differs in the fewest things, the most recent of equals; one that came to an end
    /// before one that did not.
    fn nearest(&mut self, index: usize, files: &mut dyn FnMut(&Cause) -> usize) -> Option<Counterpart> {
        let mut best: Option<((usize, bool), Counterpart)> = None;
        for (candidate, comparison) in self.candidates.iter_mut().enumerate() {
            let Some(old) = comparison.counterpart(index) else { continue };
            let causes = comparison.causes(index, old);
            let before = self.earlier.get(candidate).and_then(|build| build.steps.get(old));
            let failed = before.is_some_and(|step| step.outcome == Outcome::Failed);
            let distance = (causes.iter().map(|cause| weight(cause, files)).sum::<usize>(), failed);
            if best.as_ref().is_none_or(|(least, ..)| distance < *least) {
                best = Some((distance, (candidate, old, causes)));
            }
        }
        best.map(|(_, nearest)| nearest)
    }

    /// Nothing differs, so the key is the same: what kept its record from being used.
    fn reason(&self, step: &Step, before: &Step) -> Cause {
        if let Some(reason) = step.refused.first() {
            return Cause::new(Kind::NotLoadable, reason.as_str()).of(&step.vertex, &step.name);
        }
        if let Some(forced) = self.forced_below(step) {
            return Cause::new(Kind::ForcedInput, "").of(&forced.vertex, &forced.name);
        }
        let kind = if before.outcome == Outcome::Failed { Kind::NotFinished } else { Kind::Pruned };
        Cause::new(kind, "").of(&step.vertex, &step.name)
    }

    fn forced_below(&self, step: &Step) -> Option<&'a Step> {
        let (mut todo, mut seen) = (step.inputs.clone(), std::collections::HashSet::new());
        while let Some(input) = todo.pop() {
            let Some(below) = self.new.steps.get(input.step).filter(|_| seen.insert(input.step)) else {
                continue;
            };
            if below.forced && below.outcome.is_work() {
                return Some(below);
            }
            todo.extend(below.inputs.iter().cloned());
        }
        None
    }
}

/// A text that shares little with what it was is further away than one of which a word changed, and another
/// shape of the graph further than any text.
fn weight(cause: &Cause, files: &mut dyn FnMut(&Cause) -> usize) -> usize {
    let words = |text: &Option<String>| text.iter().flat_map(|text| text.split_whitespace()).count();
    match cause.kind {
        Kind::Argument => 2 + (words(&cause.old) + words(&cause.new)).min(8),
        Kind::Files => 2 + files(cause).min(8),
        Kind::Inserted | Kind::Removed | Kind::Order => 12,
        _ => 3,
    }
}
