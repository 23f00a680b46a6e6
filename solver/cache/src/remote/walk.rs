//! What an export holds: every key on the way from the roots to a result.
//!
//! The walk goes back from the keys of the result, asks for each key once, and comes out with records in an
//! order in which each follows those that lead to it. It knows no values: which of the keys have results worth
//! giving away is decided by whoever asked.
//!
//! Keys that were made differently may still be the same record elsewhere: equal operation, and for each
//! input a way that both have. Those become one record, as the reference makes them; else a cache that is
//! imported and exported again would hold everything twice. (Only if all that leads to the second comes before the
//! first: a twin that is not found costs space in the config, nothing else.)
//!
//! A step that gives back the content it was given leads, over that content, to itself. Such a link adds
//! nothing and is left out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use slipway_model::Digest;
use slipway_solver::{KeyId, Link, OpDigest, RecordSource, Selector};

/// What leads to one input of a step: indexes of steps before it, each looked at through a selector.
pub type Links = BTreeSet<(usize, Option<Selector>)>;

/// A record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// That of `"<operation>@<output>"`; of a root or a content, its key.
    pub digest: Digest,
    /// For each input, what leads here.
    pub inputs: Vec<Links>,
    /// Under which keys results of it are known.
    pub keys: Vec<KeyId>,
}

/// All that leads to `results`, from the roots on.
pub fn walk<V>(sources: &[&dyn RecordSource<V>], results: &[KeyId]) -> Vec<Step> {
    let results: Vec<KeyId> = results.iter().filter(|key| !key.is_session_bound()).copied().collect();
    let mut walk = Walk::default();
    let mut origins = ways_to(sources, &results);
    // Roots first: whatever twins share, they share these.
    for key in origins.order.iter().filter(|key| origins.of.get(key).is_some_and(Vec::is_empty)) {
        let root = walk.root(*key);
        walk.done.insert(*key, Some(vec![root]));
    }
    results.iter().for_each(|key| walk.visit(key, &mut origins.of));
    walk.steps
}

/// Every key on the way, in the order in which they were found, and what leads to each.
struct Ways {
    order: Vec<KeyId>,
    of: HashMap<KeyId, Vec<(KeyId, Link)>>,
}

fn ways_to<V>(sources: &[&dyn RecordSource<V>], results: &[KeyId]) -> Ways {
    let mut ways = Ways { order: Vec::new(), of: HashMap::new() };
    let mut todo = results.to_vec();
    while let Some(key) = todo.pop() {
        if let Entry::Vacant(place) = ways.of.entry(key) {
            let origins: Vec<_> = sources.iter().flat_map(|source| source.origins(&key)).collect();
            todo.extend(origins.iter().map(|(from, _)| *from));
            place.insert(origins);
            ways.order.push(key);
        }
    }
    ways
}

#[derive(Default)]
struct Walk {
    /// The steps that a key became; `None` while it is on the way.
    done: HashMap<KeyId, Option<Vec<usize>>>,
    steps: Vec<Step>,
    /// Which steps a way leads to.
    ways: HashMap<(usize, usize, Option<Selector>, Digest), Vec<usize>>,
}

impl Walk {
    /// In a loop: graphs may be deep.
    fn visit(&mut self, start: &KeyId, origins: &mut HashMap<KeyId, Vec<(KeyId, Link)>>) {
        let mut todo = vec![(*start, None)];
        while let Some((key, made_of)) = todo.pop() {
            match made_of {
                Some(made_of) => {
                    let steps = self.steps_of(key, made_of);
                    self.done.insert(key, Some(steps));
                }
                None if self.done.contains_key(&key) => {}
                None => {
                    self.done.insert(key, None);
                    let made_of = origins.remove(&key).unwrap_or_default();
                    let before: Vec<KeyId> = made_of.iter().map(|(from, _)| *from).collect();
                    todo.push((key, Some(made_of)));
                    todo.extend(before.into_iter().map(|from| (from, None)));
                }
            }
        }
    }

    fn steps_of(&mut self, key: KeyId, origins: Vec<(KeyId, Link)>) -> Vec<usize> {
        let mut made = BTreeMap::<(OpDigest, usize), Vec<Links>>::new();
        for (from, link) in origins {
            let inputs = made.entry((link.operation, link.output)).or_default();
            if inputs.len() <= link.input {
                inputs.resize(link.input + 1, Links::new());
            }
            let steps = self.done.get(&from).cloned().flatten().unwrap_or_default();
            inputs[link.input].extend(steps.into_iter().map(|step| (step, link.selector)));
        }
        let whole = made.into_iter().filter(|(_, inputs)| inputs.iter().all(|links| !links.is_empty()));
        let whole: Vec<_> = whole.collect();
        whole
            .into_iter()
            .map(|((operation, output), inputs)| self.made(key, operation, output, inputs))
            .collect()
    }

    fn root(&mut self, key: KeyId) -> usize {
        self.push(Step { digest: Digest::Sha256(*key.hash()), inputs: Vec::new(), keys: vec![key] })
    }

    fn made(&mut self, key: KeyId, operation: OpDigest, output: usize, inputs: Vec<Links>) -> usize {
        let digest = Digest::Sha256(*KeyId::root(operation, output).hash());
        match self.twin(&digest, &inputs) {
            Some(twin) => {
                self.note_ways(twin, &digest, &inputs);
                let step = &mut self.steps[twin];
                step.keys.push(key);
                step.inputs.iter_mut().zip(inputs).for_each(|(known, links)| known.extend(links));
                twin
            }
            None => {
                self.note_ways(self.steps.len(), &digest, &inputs);
                self.push(Step { digest, inputs, keys: vec![key] })
            }
        }
    }

    /// A step that shares a way of each input, and after which nothing of `inputs` comes.
    fn twin(&self, digest: &Digest, inputs: &[Links]) -> Option<usize> {
        let latest = inputs.iter().flatten().map(|(step, _)| *step).max()?;
        let led = inputs.iter().enumerate().map(|(input, links)| {
            let ways = links
                .iter()
                .filter_map(|(from, selector)| self.ways.get(&(*from, input, *selector, *digest)));
            ways.flatten().copied().collect::<BTreeSet<usize>>()
        });
        let shared = led.reduce(|one, other| &one & &other)?;
        let fits = |step: &usize| *step > latest && self.steps[*step].inputs.len() == inputs.len();
        shared.into_iter().find(fits)
    }

    fn note_ways(&mut self, step: usize, digest: &Digest, inputs: &[Links]) {
        for (input, links) in inputs.iter().enumerate() {
            for (from, selector) in links {
                let leads = self.ways.entry((*from, input, *selector, *digest)).or_default();
                if !leads.contains(&step) {
                    leads.push(step);
                }
            }
        }
    }

    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }
}
