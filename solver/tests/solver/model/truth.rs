//! Whether the records of a store say what is true: the meaning of a key follows from the keys that
//! lead to it, down to roots and contents, and its records must hold just that.

use std::collections::{BTreeMap, HashMap};

use slipway_solver::*;

use super::ops::Made;
use super::plan::{Look, OUTPUTS, Plan, Step, content_keys, look_through, of};

pub(crate) struct Truth<'a> {
    oracle: Vec<Option<u64>>,
    /// What is seen through content keys.
    contents: HashMap<KeyId, u64>,
    /// What roots make.
    roots: HashMap<KeyId, u64>,
    operations: HashMap<OpDigest, &'a Step>,
}

impl<'a> Truth<'a> {
    /// `sessions`: all that ever named a source.
    pub(crate) fn new(plan: &'a Plan, sessions: &[String]) -> Self {
        let oracle = plan.oracle();
        let (mut roots, mut operations) = (HashMap::new(), HashMap::new());
        for step in &plan.steps {
            for session in sessions {
                let second = step.second_name.iter().map(|name| OpDigest(Digest::of(name)));
                for name in second.chain([step.digest(session)]) {
                    operations.insert(name, step);
                    if let (true, Some(number)) = (step.inputs.is_empty(), oracle[step.index]) {
                        let outputs = (0..OUTPUTS).map(|o| (KeyId::root(name, o), of(number, o)));
                        roots.extend(outputs);
                    }
                }
            }
        }
        Self { oracle, contents: content_keys().collect(), roots, operations }
    }

    /// Says what is wrong, if something is.
    pub(crate) fn check(&self, store: &MemoryRecords<Made>, values: &[(Record, Made)]) -> Option<String> {
        let mut known = HashMap::new();
        values.iter().find_map(|(record, made)| match self.meaning(store, &record.key, &mut known) {
            Ok(Some(number)) if number != made.number => {
                Some(format!("the record {} lies: {} instead of {number}", record.id, made.number))
            }
            Ok(_) => None,
            Err(law) => Some(law),
        })
    }

    /// What the results of `key` are; `None` if the way to it is not known any more.
    fn meaning(
        &self,
        store: &MemoryRecords<Made>,
        key: &KeyId,
        known: &mut HashMap<KeyId, Option<u64>>,
    ) -> Result<Option<u64>, String> {
        if let Some(number) = self.roots.get(key) {
            return Ok(Some(*number));
        }
        if let Some(number) = known.get(key) {
            return Ok(*number);
        }
        // Equal work on the equal content of its own result leads from a key to itself.
        known.insert(*key, None);
        let mut seen: BTreeMap<usize, u64> = BTreeMap::new();
        let mut operation = None;
        for (from, link) in store.origins(key) {
            operation = Some((link.operation, link.output));
            let sight = match self.contents.get(&from) {
                Some(sight) => Some(*sight),
                None => {
                    let step = self.operations.get(&link.operation);
                    let by_definition = step.is_some_and(|s| s.inputs[link.input].look == Look::Definition);
                    let look = if by_definition { Look::Definition } else { look_through(link.selector) };
                    self.meaning(store, &from, known)?.map(|number| look.sees(number))
                }
            };
            if let Some(sight) = sight
                && seen.insert(link.input, sight).is_some_and(|before| before != sight)
            {
                return Err(format!("{key:?} is led to by what is not equal"));
            }
        }
        let number = operation.and_then(|(digest, output)| {
            let step = self.operations.get(&digest)?;
            let all: Vec<u64> = seen.values().copied().collect();
            let whole = all.len() == step.inputs.len();
            let sub = step.sub_build.and_then(|sub| self.oracle[sub]);
            whole.then(|| step.computed(&all, sub)).flatten().map(|number| of(number, output))
        });
        known.insert(*key, number);
        Ok(number)
    }
}
