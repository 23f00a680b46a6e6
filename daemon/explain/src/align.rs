//! Which step of an earlier build stands where a step of this one stands.
//!
//! Steps are paired by rules, from the surest to the weakest; a step that one rule has paired is not asked
//! about by the next. So a step that was moved is still itself, and one that was put in is paired with
//! nothing, since those around it are taken:
//!
//! | rule | pairs |
//! |---|---|
//! | the same vertex | nothing changed at or below it |
//! | name and operation | its inputs changed |
//! | stage and operation | it also moved |
//! | stage and text, whatever the number | an environment, a platform or the like changed, and it moved |
//! | name | as before, where there is no number |
//! | stage and verb, the most similar text first | its text changed |
//! | verb and number | its stage was renamed |

use std::collections::{HashMap, HashSet};

use crate::build::{Build, Place, Step};

pub struct Alignment {
    old_of: Vec<Option<usize>>,
    new_of: Vec<Option<usize>>,
}

type Rule = fn(&Step) -> Option<String>;

const RULES: [Rule; 5] = [
    |step| (!step.vertex.is_empty()).then(|| step.vertex.clone()),
    |step| (!step.operation.is_empty()).then(|| format!("{}\0{}", step.name, step.operation)),
    |step| (!step.operation.is_empty()).then(|| format!("{}\0{}", step.place().stage, step.operation)),
    |step| Some(format!("{}\0{}", step.place().stage, text(step))),
    |step| Some(step.name.clone()),
];

impl Alignment {
    pub fn of(new: &Build, old: &Build) -> Self {
        let mut pairs = Self { old_of: vec![None; new.steps.len()], new_of: vec![None; old.steps.len()] };
        for rule in RULES {
            pairs.apply(new, old, rule);
        }
        pairs.by_similarity(new, old, |place| (place.stage.to_owned(), place.verb.to_owned()));
        pairs.by_similarity(new, old, |place| (place.number.to_owned(), place.verb.to_owned()));
        pairs
    }

    pub fn old_of(&self, new: usize) -> Option<usize> {
        self.old_of.get(new).copied().flatten()
    }

    pub fn new_of(&self, old: usize) -> Option<usize> {
        self.new_of.get(old).copied().flatten()
    }

    fn pair(&mut self, new: usize, old: usize) {
        if let (Some(one), Some(other)) = (self.old_of.get_mut(new), self.new_of.get_mut(old)) {
            (*one, *other) = (Some(old), Some(new));
        }
    }

    /// Steps of equal keys are paired in their order.
    fn apply(&mut self, new: &Build, old: &Build, rule: Rule) {
        let mut free: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, step) in old.steps.iter().enumerate().rev() {
            if self.new_of(index).is_none()
                && let Some(key) = rule(step)
            {
                free.entry(key).or_default().push(index);
            }
        }
        for (index, step) in new.steps.iter().enumerate() {
            if self.old_of(index).is_none()
                && let Some(found) = rule(step).and_then(|key| free.get_mut(&key)).and_then(Vec::pop)
            {
                self.pair(index, found);
            }
        }
    }

    fn by_similarity(&mut self, new: &Build, old: &Build, group: fn(Place<'_>) -> (String, String)) {
        let mut free: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for (index, step) in old.steps.iter().enumerate() {
            if self.new_of(index).is_none() {
                free.entry(group(step.place())).or_default().push(index);
            }
        }
        for (index, step) in new.steps.iter().enumerate() {
            if self.old_of(index).is_some() {
                continue;
            }
            let Some(others) = free.get_mut(&group(step.place())) else { continue };
            let words: HashSet<&str> = step.name.split_whitespace().collect();
            let similar = |old_index: &usize| {
                let name = old.steps.get(*old_index).map(|step| step.name.as_str()).unwrap_or_default();
                name.split_whitespace().filter(|word| words.contains(word)).count()
            };
            // Of equally similar ones the first, which `max_by_key` would not give.
            let best = others.iter().enumerate().rev().max_by_key(|(_, old_index)| similar(old_index));
            if let Some((position, found)) = best.map(|(position, found)| (position, *found)) {
                others.remove(position);
                self.pair(index, found);
            }
        }
    }
}

/// The name without what is in brackets.
fn text(step: &Step) -> &str {
    match step.name.strip_prefix('[').and_then(|name| name.split_once(']')) {
        Some((_, text)) => text,
        None => &step.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(steps: &[(&str, &str)]) -> Build {
        let step = |(name, operation): &(&str, &str)| Step {
            name: (*name).into(),
            operation: (*operation).into(),
            ..Step::default()
        };
        Build { steps: steps.iter().map(step).collect(), ..Build::default() }
    }

    fn pairs(new: &[(&str, &str)], old: &[(&str, &str)]) -> Vec<Option<usize>> {
        let (new, old) = (build(new), build(old));
        let alignment = Alignment::of(&new, &old);
        (0..new.steps.len()).map(|index| alignment.old_of(index)).collect()
    }

    const OLD: [(&str, &str); 3] = [("[1/3] FROM b", "b"), ("[2/3] RUN one", "1"), ("[3/3] RUN two", "2")];

    #[test]
    fn a_changed_step_is_paired_with_what_it_was() {
        let new = [("[1/3] FROM b", "b"), ("[2/3] RUN one more", "3"), ("[3/3] RUN two", "2")];
        assert_eq!(pairs(&new, &OLD), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn a_new_step_is_paired_with_nothing() {
        let new =
            [("[1/4] FROM b", "b"), ("[2/4] RUN new", "3"), ("[3/4] RUN one", "1"), ("[4/4] RUN two", "2")];
        assert_eq!(pairs(&new, &OLD), [Some(0), None, Some(1), Some(2)]);
    }

    #[test]
    fn steps_that_changed_places_are_still_themselves() {
        let new = [("[1/3] FROM b", "b"), ("[2/3] RUN two", "2"), ("[3/3] RUN one", "1")];
        assert_eq!(pairs(&new, &OLD), [Some(0), Some(2), Some(1)]);
    }

    #[test]
    fn a_renamed_stage_is_found_by_numbers() {
        let new = [("[x 1/3] FROM b", "b"), ("[x 2/3] RUN one", "1"), ("[x 3/3] RUN two", "2")];
        assert_eq!(pairs(&new, &OLD), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn of_equal_steps_the_one_that_is_left_changed() {
        let old = [("[1/3] FROM b", "b"), ("[2/3] RUN t", "t"), ("[3/3] RUN t", "t")];
        let new = [("[1/3] FROM b", "b"), ("[2/3] RUN x", "x"), ("[3/3] RUN t", "t")];
        assert_eq!(pairs(&new, &old), [Some(0), Some(1), Some(2)]);
    }
}
