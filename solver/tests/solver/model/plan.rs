//! What a story is about: a graph, and what its operations make of their inputs. All of it follows
//! from the seed, and [`Plan::oracle`] computes what must come out, one step after the other.

use slipway_solver::{ContentDigest, Digest, KeyId, OpDigest};

use crate::chance::Random;

/// How many contents there are: few, so that unequal results look equal all the time.
const CONTENTS: u64 = 3;
/// How many selectors there are.
const SELECTORS: usize = 2;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) index: usize,
    /// Equal operations do the same to the same inputs.
    pub(crate) operation: String,
    /// Tells apart vertices with equal operations on equal inputs.
    pub(crate) salt: usize,
    pub(crate) inputs: Vec<Input>,
    /// A root's other name.
    pub(crate) second_name: Option<String>,
    pub(crate) session_bound: bool,
    /// How it goes wrong, where it does.
    pub(crate) trouble: Trouble,
    /// Another step that the operation has solved for itself.
    pub(crate) sub_build: Option<usize>,
    pub(crate) limited: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) step: usize,
    pub(crate) output: usize,
    pub(crate) look: Look,
    pub(crate) lazy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Definition,
    Content,
    /// At a part of the content.
    Selected(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Never,
    Fails,
    /// Says "cancelled" although nobody cancelled it.
    Cancels,
    Panics,
}

pub(crate) const OUTPUTS: usize = 2;

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let troubled = random.once_in(3).then(|| random.below(5));
        let trouble = [Trouble::Fails, Trouble::Cancels, Trouble::Panics][random.below(3)];
        let count = 2 + random.below(10);
        let mut steps: Vec<Step> = Vec::new();
        for index in 0..count {
            let what = random.below(5);
            let inputs: Vec<Input> = match index {
                0 => Vec::new(),
                _ => (0..random.below(4)).map(|_| Input::new(random, index)).collect(),
            };
            let root = inputs.is_empty();
            let sub_build = (index > 0 && random.once_in(8)).then(|| random.below(index));
            let mut operation = format!("op{what}");
            operation.extend(inputs.iter().map(|i| if i.look == Look::Definition { 'd' } else { 'c' }));
            operation.extend(sub_build.map(|step| format!("+{step}")));
            steps.push(Step {
                index,
                second_name: (root && random.once_in(2)).then(|| format!("name of {operation}")),
                operation,
                salt: random.below(2),
                inputs,
                session_bound: root && random.once_in(5),
                trouble: if troubled == Some(what) { trouble } else { Trouble::Never },
                sub_build,
                limited: sub_build.is_none() && random.once_in(2),
            });
        }
        Self { steps }
    }

    /// What each step makes, or that it cannot.
    pub(crate) fn oracle(&self) -> Vec<Option<u64>> {
        let mut made: Vec<Option<u64>> = Vec::new();
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|i| made[i.step].map(|number| i.sees(of(number, i.output))));
            let inputs: Option<Vec<u64>> = inputs.collect();
            let sub = step.sub_build.map(|sub| made[sub]);
            made.push(match (inputs, sub) {
                (None, _) | (_, Some(None)) => None,
                (Some(inputs), sub) => step.computed(&inputs, sub.flatten()),
            });
        }
        made
    }

    /// The steps that themselves fail: whose names an error may bear.
    pub(crate) fn culprits(&self) -> Vec<usize> {
        let made = self.oracle();
        let fine = |step: &Step| {
            step.inputs.iter().all(|i| made[i.step].is_some())
                && step.sub_build.is_none_or(|sub| made[sub].is_some())
        };
        let failing = |step: &&Step| made[step.index].is_none() && fine(step);
        self.steps.iter().filter(failing).map(|step| step.index).collect()
    }
}

impl Step {
    /// What the operation makes of what it sees, or that it fails on it.
    pub(crate) fn computed(&self, seen: &[u64], sub: Option<u64>) -> Option<u64> {
        let hash = Digest::of(format!("{} {seen:?} {sub:?}", self.operation));
        let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
        (self.trouble == Trouble::Never || !hash.is_multiple_of(2)).then_some(hash % 1_000_000)
    }

    pub(crate) fn digest(&self, session: &str) -> OpDigest {
        let session = if self.session_bound { session } else { "" };
        OpDigest(Digest::of(format!("{}{session}", self.operation)))
    }
}

impl Input {
    fn new(random: &mut Random, before: usize) -> Self {
        let look = match random.below(6) {
            0 | 1 => Look::Content,
            2 => Look::Selected(random.below(SELECTORS)),
            _ => Look::Definition,
        };
        Self { step: random.below(before), output: random.below(OUTPUTS), look, lazy: random.once_in(4) }
    }

    /// What the operation sees of an input.
    pub(crate) fn sees(&self, number: u64) -> u64 {
        self.look.sees(number)
    }
}

impl Look {
    pub(crate) fn sees(self, number: u64) -> u64 {
        match self {
            Self::Definition => number,
            Self::Content => number % CONTENTS,
            Self::Selected(part) => (number / (7 + part as u64)) % CONTENTS,
        }
    }
}

/// Output `output` of an operation that made `number`.
pub(crate) fn of(number: u64, output: usize) -> u64 {
    number + 1_000_000 * output as u64
}

pub(crate) fn content_digest(seen: u64) -> ContentDigest {
    ContentDigest(Digest::of(format!("content {seen}")))
}

/// Every content key there is, and what is seen through it.
pub(crate) fn content_keys() -> impl Iterator<Item = (KeyId, u64)> {
    (0..CONTENTS).map(|seen| (KeyId::content(content_digest(seen)), seen))
}

/// Every selector there is, by its digest.
pub(crate) fn selector(part: usize) -> slipway_solver::Selector {
    slipway_solver::Selector(Digest::of(format!("part {part}")))
}

pub(crate) fn look_through(selector_digest: Option<slipway_solver::Selector>) -> Look {
    (0..SELECTORS).find(|part| Some(selector(*part)) == selector_digest).map_or(Look::Content, Look::Selected)
}
