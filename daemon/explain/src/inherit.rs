//! What a build did not have to find out, taken from an earlier one that did.
//!
//! A step that is known by its definition is never asked what its inputs contain; one that nobody needed
//! is not even asked for its key. Both are what they were when the same result was made: without this,
//! a build that ran nothing would leave less to compare with than the one before it.

use std::collections::HashMap;

use crate::build::{Build, Step};

/// Completes `new` with what `old` knows of steps that have the same keys, and of what they were made from.
pub fn inherit(new: &mut Build, old: &Build) {
    let by_key: HashMap<&str, usize> = old
        .steps
        .iter()
        .enumerate()
        .flat_map(|(index, step)| step.keys.iter().map(move |key| (key.as_str(), index)))
        .collect();
    let mut earlier: Vec<Option<usize>> = new
        .steps
        .iter()
        .map(|step| step.keys.iter().find_map(|key| by_key.get(key.as_str()).copied()))
        .collect();
    // From the last to the first: whoever reads a step comes after it.
    for index in (0..new.steps.len()).rev() {
        let Some(before) =
            earlier.get(index).copied().flatten().and_then(|old_index| old.steps.get(old_index))
        else {
            continue;
        };
        let inputs = new.steps.get(index).map(|step| step.inputs.clone()).unwrap_or_default();
        if inputs.len() != before.inputs.len() {
            continue;
        }
        for (input, known) in inputs.iter().zip(&before.inputs) {
            let unknown =
                new.steps.get(input.step).filter(|step| step.keys.is_empty() && !step.outcome.is_work());
            let is_it =
                unknown.zip(old.steps.get(known.step)).is_some_and(|(step, other)| is_equal(step, other));
            if is_it && let Some(slot @ None) = earlier.get_mut(input.step) {
                *slot = Some(known.step);
            }
        }
        if let Some(step) = new.steps.get_mut(index) {
            complete(step, before);
        }
    }
}

fn is_equal(step: &Step, other: &Step) -> bool {
    step.material == other.material && (step.operation == other.operation || step.operation.is_empty())
}

fn complete(step: &mut Step, before: &Step) {
    if step.keys.is_empty() {
        step.keys.clone_from(&before.keys);
    }
    if step.resolved.is_none() {
        step.resolved.clone_from(&before.resolved);
    }
    if step.operation.is_empty() {
        step.operation.clone_from(&before.operation);
    }
    for (input, known) in step.inputs.iter_mut().zip(&before.inputs) {
        if input.content.is_none() && input.paths == known.paths {
            input.content.clone_from(&known.content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Input, Outcome};

    fn build(known: bool) -> Build {
        let step = |name: &str, inputs: Vec<Input>| Step {
            name: name.into(),
            operation: name.into(),
            inputs,
            keys: if known || name == "last" { vec![format!("key of {name}")] } else { Vec::new() },
            ..Step::default()
        };
        let input =
            |step| Input { step, content: known.then(|| format!("content {step}")), ..Input::default() };
        let steps =
            vec![step("first", Vec::new()), step("second", vec![input(0)]), step("last", vec![input(1)])];
        Build { steps, ..Build::default() }
    }

    #[test]
    fn a_build_that_asked_for_its_last_step_only_knows_what_the_earlier_one_did() {
        let mut new = build(false);
        inherit(&mut new, &build(true));
        assert_eq!(new, build(true));
    }

    #[test]
    fn a_step_that_ran_is_not_taken_for_what_it_was() {
        let mut new = build(false);
        new.steps[1].outcome = Outcome::Ran;
        inherit(&mut new, &build(true));
        assert_eq!(new.steps[1].keys, [""; 0]);
        assert_eq!(new.steps[2].inputs[0].content.as_deref(), Some("content 1"));
    }
}
