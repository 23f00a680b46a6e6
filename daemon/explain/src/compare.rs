//! The difference between a step and one of an earlier build, followed down to where it begins.
//!
//! ```text
//! differences(new, old)   what the operations differ in, then for each pair of inputs that is not the same
//!   by content              the files, and (unless a client sent them) what their step differs in
//!   by definition           what stands there: another step in between, one that is gone, or the same
//!                           one, which then differs in something itself
//! ```
//!
//! Steps are compared in the order of the build, so that what a step builds on was compared before it and
//! a long chain needs no deep stack; where steps are not each other's counterpart, the recursion is cut.

use std::collections::HashMap;
use std::sync::Arc;

use crate::align::Alignment;
use crate::build::{Build, Input, Step};
use crate::cause::{Cause, Kind};
use crate::difference;
use crate::material::Material;

/// Pairs that are not counterparts are followed this far.
const DEEPEST: usize = 64;
/// Causes that are told of one step.
const MOST: usize = 24;

/// Where operations' materials are found.
pub trait Materials {
    fn material(&self, id: &str) -> Option<Arc<Material>>;
}

pub struct Comparison<'a> {
    new: &'a Build,
    old: &'a Build,
    alignment: Alignment,
    materials: &'a dyn Materials,
    same: HashMap<(usize, usize), bool>,
    known: HashMap<(usize, usize), Arc<Vec<Cause>>>,
    depth: usize,
}

impl<'a> Comparison<'a> {
    pub fn new(new: &'a Build, old: &'a Build, materials: &'a dyn Materials) -> Self {
        Self {
            new,
            old,
            alignment: Alignment::of(new, old),
            materials,
            same: HashMap::new(),
            known: HashMap::new(),
            depth: 0,
        }
    }

    /// The step of the earlier build that stands where step `new` stands.
    pub fn counterpart(&self, new: usize) -> Option<usize> {
        self.alignment.old_of(new)
    }

    /// What step `new` differs in from its counterpart. Files are told by the keys of both contents, in
    /// [`Cause::old`] and [`Cause::new`], for whoever has the lists.
    pub fn causes(&mut self, new: usize, old: usize) -> Arc<Vec<Cause>> {
        for below in self.below(new) {
            if let Some(counterpart) = self.counterpart(below) {
                self.differences(below, counterpart);
            }
        }
        self.differences(new, old)
    }

    /// Everything that step `index` builds on, lowest first.
    fn below(&self, index: usize) -> Vec<usize> {
        let (mut todo, mut found) = (vec![index], std::collections::BTreeSet::new());
        while let Some(step) = self.new.steps.get(todo.pop().unwrap_or(usize::MAX)) {
            for input in &step.inputs {
                if found.insert(input.step) {
                    todo.push(input.step);
                }
            }
            if todo.is_empty() {
                break;
            }
        }
        found.into_iter().collect()
    }

    fn differences(&mut self, new: usize, old: usize) -> Arc<Vec<Cause>> {
        if let Some(known) = self.known.get(&(new, old)) {
            return known.clone();
        }
        let causes = Arc::new(self.compare(new, old));
        self.known.insert((new, old), causes.clone());
        causes
    }

    fn compare(&mut self, new: usize, old: usize) -> Vec<Cause> {
        let (Some(step), Some(before)) = (self.new.steps.get(new), self.old.steps.get(old)) else {
            return Vec::new();
        };
        if self.depth > DEEPEST || self.is_same(new, old) {
            return Vec::new();
        }
        self.depth += 1;
        let mut causes = self.operations(step, before);
        let pairs = pair_inputs(&step.inputs, &before.inputs);
        for (input, earlier) in pairs {
            match (input, earlier) {
                (Some(input), Some(earlier)) => self.inputs(step, input, earlier, &mut causes),
                // An input that came or went belongs to a mount or an action, which is told already.
                (one, other) if causes.is_empty() => {
                    let label = |input: Option<&Input>| input.map(|input| input.label.clone());
                    let what = label(one).or(label(other)).filter(|label| !label.is_empty());
                    let what = what.unwrap_or_else(|| "an input".into());
                    causes.push(Cause::new(Kind::Field, what).of(&step.vertex, &step.name));
                }
                _ => {}
            }
        }
        self.depth -= 1;
        unique(causes)
    }

    /// What the operations differ in, in the name of `step`.
    fn operations(&self, step: &Step, before: &Step) -> Vec<Cause> {
        if !step.operation.is_empty()
            && step.operation == before.operation
            && step.material == before.material
        {
            return Vec::new();
        }
        let found = match (self.materials.material(&step.material), self.materials.material(&before.material))
        {
            (Some(now), Some(earlier)) => {
                let with_digest = |material: &Material, step: &Step| match &step.resolved {
                    Some(digest) if material.kind == "image" => {
                        let mut material = material.clone();
                        material.fields.insert("digest".into(), digest.clone());
                        material
                    }
                    _ => material.clone(),
                };
                difference::differences(&with_digest(&earlier, before), &with_digest(&now, step))
            }
            _ => Vec::new(),
        };
        let unexplained = found.is_empty()
            && !step.session_bound
            && !before.operation.is_empty()
            && !step.operation.is_empty()
            && step.operation != before.operation;
        let found = if unexplained { vec![Cause::new(Kind::Field, "definition")] } else { found };
        found.into_iter().map(|cause| cause.of(&step.vertex, &step.name)).collect()
    }

    fn inputs(&mut self, step: &Step, input: &Input, earlier: &Input, causes: &mut Vec<Cause>) {
        if self.same_input(input, earlier) {
            return;
        }
        if input.paths != earlier.paths {
            // Lists of different parts would only show that they are different.
            causes.extend(source_cause(step, input, earlier, causes));
            if !self.new.steps.get(input.step).is_some_and(|source| source.session_bound) {
                self.follow(step, input, earlier, false, causes);
            }
            return;
        }
        let by_content = match (&input.content, &earlier.content) {
            (Some(now), Some(before)) => {
                let what = if input.label.is_empty() { input.paths.join(" ") } else { input.label.clone() };
                let (old, new, bases) = (Some(before.clone()), Some(now.clone()), input.bases.clone());
                let files = Cause { old, new, bases, ..Cause::new(Kind::Files, what) };
                causes.push(files.of(&step.vertex, &step.name));
                true
            }
            _ => false,
        };
        self.follow(step, input, earlier, by_content, causes);
    }

    /// What stands where `input` was taken from.
    fn follow(
        &mut self,
        step: &Step,
        input: &Input,
        earlier: &Input,
        by_content: bool,
        causes: &mut Vec<Cause>,
    ) {
        let (Some(source), Some(before)) = (self.new.steps.get(input.step), self.old.steps.get(earlier.step))
        else {
            return;
        };
        match (self.alignment.old_of(input.step), self.alignment.new_of(earlier.step)) {
            (Some(counterpart), _) if counterpart == earlier.step => {}
            (None, None) => {}
            (None, Some(_)) => {
                causes.push(Cause::new(Kind::Inserted, "").of(&source.vertex, &source.name));
                if let Some(below) = source.inputs.first() {
                    self.beyond(step, below, earlier, causes);
                }
                return;
            }
            (Some(_), None) => {
                causes.push(Cause::new(Kind::Removed, before.name.as_str()).of(&step.vertex, &step.name));
                if let Some(below) = before.inputs.first() {
                    self.beyond(step, input, below, causes);
                }
                return;
            }
            (Some(_), Some(_)) => {
                let order = Cause::changed(Kind::Order, "", Some(&before.name), Some(&source.name));
                causes.push(order.of(&step.vertex, &step.name));
                return;
            }
        }
        let below = self.differences(input.step, earlier.step);
        if below.is_empty() && by_content && !source.session_bound {
            // The files differ, so it ran, and nothing says why: its own explanation does.
            causes.push(Cause::new(Kind::Remade, "").of(&source.vertex, &source.name));
        }
        causes.extend(below.iter().cloned());
    }

    /// What else stands between two steps, one of which came or went: several may have.
    fn beyond(&mut self, step: &Step, input: &Input, earlier: &Input, causes: &mut Vec<Cause>) {
        if self.depth <= DEEPEST && !self.is_same(input.step, earlier.step) {
            self.depth += 1;
            self.follow(step, input, earlier, false, causes);
            self.depth -= 1;
        }
    }

    fn same_input(&mut self, input: &Input, earlier: &Input) -> bool {
        if let (Some(now), Some(before)) = (&input.content, &earlier.content) {
            return now == before;
        }
        input.output == earlier.output
            && input.paths == earlier.paths
            && self.is_same(input.step, earlier.step)
    }

    /// Whether both have the same key, or would have.
    fn is_same(&mut self, new: usize, old: usize) -> bool {
        if let Some(known) = self.same.get(&(new, old)) {
            return *known;
        }
        let (Some(step), Some(before)) = (self.new.steps.get(new), self.old.steps.get(old)) else {
            return false;
        };
        let same = if step.keys.iter().any(|key| before.keys.contains(key)) {
            true
        } else if step.inputs.is_empty() || before.inputs.is_empty() {
            step.inputs.is_empty() && before.inputs.is_empty() && same_source(step, before)
        } else {
            step.operation == before.operation
                && step.inputs.len() == before.inputs.len()
                && step.inputs.iter().zip(&before.inputs).all(|(input, earlier)| {
                    let far = self.depth > DEEPEST;
                    self.depth += 1;
                    let same = !far && self.same_input(input, earlier);
                    self.depth -= 1;
                    same
                })
        };
        self.same.insert((new, old), same);
        same
    }
}

/// One that nobody asked what it is counts as what it says.
fn same_source(step: &Step, before: &Step) -> bool {
    match (step.resolved.as_ref(), before.resolved.as_ref()) {
        _ if step.session_bound || before.session_bound => step.material == before.material,
        (Some(now), Some(then)) => now == then,
        _ if step.operation.is_empty() || before.operation.is_empty() => step.material == before.material,
        _ => step.operation == before.operation,
    }
}

/// By what the operation calls them, where that is unambiguous; else in their order.
fn pair_inputs<'a>(new: &'a [Input], old: &'a [Input]) -> Vec<(Option<&'a Input>, Option<&'a Input>)> {
    let is_labelled = |inputs: &[Input]| inputs.iter().all(|input| !input.label.is_empty());
    if !is_labelled(new) || !is_labelled(old) {
        return (0..new.len().max(old.len())).map(|index| (new.get(index), old.get(index))).collect();
    }
    let find = |inputs: &'a [Input], label: &str| inputs.iter().find(|input| input.label == label);
    let mut pairs: Vec<_> = new.iter().map(|input| (Some(input), find(old, &input.label))).collect();
    let gone = old.iter().filter(|input| find(new, &input.label).is_none());
    pairs.extend(gone.map(|input| (None, Some(input))));
    pairs
}

/// That another part of an input is read, unless the operation says so itself.
fn source_cause(step: &Step, input: &Input, earlier: &Input, told: &[Cause]) -> Option<Cause> {
    let is_it = |cause: &Cause| cause.vertex == step.vertex && cause.what.ends_with("source");
    if input.label.is_empty() && told.iter().any(is_it) {
        return None;
    }
    let (kind, what) = match input.label.as_str() {
        "" => (Kind::Field, "source".to_owned()),
        mount => (Kind::Mount, format!("{mount} source")),
    };
    let paths = |input: &Input| if input.paths.is_empty() { "/".to_owned() } else { input.paths.join(" ") };
    let cause = Cause::changed(kind, what, Some(&paths(earlier)), Some(&paths(input)));
    Some(cause.of(&step.vertex, &step.name))
}

/// What comes by several ways is told once.
fn unique(causes: Vec<Cause>) -> Vec<Cause> {
    let mut kept: Vec<Cause> = Vec::new();
    for cause in causes {
        if kept.len() < MOST && !kept.contains(&cause) {
            kept.push(cause);
        }
    }
    kept
}
