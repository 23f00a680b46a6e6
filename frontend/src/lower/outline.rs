//! What a target can be given: arguments, secrets, ssh agents. Gathered only for the request
//! `frontend.outline`, while stages are lowered.
//!
//! An argument is listed if the target, or a stage that it needs, declares it or names it in its `FROM`,
//! or if the default of such a one uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Lowering;
use crate::dockerfile::Range;
use crate::dockerfile::instruction::Argument;

#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    pub(crate) name: String,
    pub(crate) description: String,
    /// In the order of the file, as the others.
    pub(crate) arguments: Vec<Listed>,
    pub(crate) secrets: Vec<Need>,
    pub(crate) ssh: Vec<Need>,
}

/// An argument; texts may be empty.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) description: String,
    pub(crate) ranges: Vec<Range>,
}

/// A secret or an ssh agent.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) ranges: Vec<Range>,
}

/// What is known of one stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Capture {
    /// Of arguments before the first `FROM`, which all stages share.
    global: Arc<BTreeMap<String, Known>>,
    arguments: BTreeMap<String, Known>,
    used: BTreeSet<String>,
    secrets: BTreeMap<String, Need>,
    ssh: BTreeMap<String, Need>,
}

#[derive(Clone, Debug)]
struct Known {
    listed: Listed,
    /// Arguments that its default names.
    depends: BTreeSet<String>,
}

impl Capture {
    /// An `ARG` before the first `FROM`. One that is declared again keeps what its first default named.
    pub(super) fn add_global(
        &mut self,
        argument: &Argument,
        value: Option<&str>,
        mut depends: BTreeSet<String>,
        ranges: &[Range],
    ) {
        if depends.remove(&argument.key)
            && let Some(before) = self.global.get(&argument.key)
        {
            depends.extend(before.depends.iter().cloned());
        }
        let listed = listed(argument, value, ranges);
        Arc::make_mut(&mut self.global).insert(argument.key.clone(), Known { listed, depends });
    }

    fn argument(&self, name: &str) -> Option<&Known> {
        self.arguments.get(name).or_else(|| self.global.get(name))
    }

    /// An `ARG` of the stage. One that only takes over a global value is listed where that stands.
    pub(super) fn add(
        &mut self,
        argument: &Argument,
        value: Option<&str>,
        is_inherited: bool,
        ranges: &[Range],
    ) {
        if !is_inherited {
            let known = Known { listed: listed(argument, value, ranges), depends: BTreeSet::new() };
            self.arguments.insert(argument.key.clone(), known);
        }
        self.used.insert(argument.key.clone());
    }

    pub(super) fn add_used<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) {
        self.used.extend(names.into_iter().cloned());
    }

    pub(super) fn add_secret(&mut self, id: &str, required: bool, ranges: &[Range]) {
        add_need(&mut self.secrets, id, required, ranges);
    }

    pub(super) fn add_ssh(&mut self, id: &str, required: bool, ranges: &[Range]) {
        add_need(&mut self.ssh, if id.is_empty() { "default" } else { id }, required, ranges);
    }

    /// The used arguments and all that their defaults use.
    fn reached(&self) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut rest: Vec<&str> = self.used.iter().map(String::as_str).collect();
        while let Some(name) = rest.pop() {
            if reached.insert(name)
                && let Some(known) = self.argument(name)
            {
                rest.extend(known.depends.iter().map(String::as_str));
            }
        }
        reached
    }
}

impl Lowering<'_> {
    pub(super) fn outline(&self, target: usize) -> Outline {
        let stage = &self.stages[target];
        let mut outline =
            Outline { name: stage.alias.clone(), description: stage.doc.clone(), ..Outline::default() };
        let (mut arguments, mut secrets, mut ssh) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for index in self.in_order(target) {
            let Some(capture) = &self.stages[index].outline else { continue };
            for name in capture.reached() {
                if let Some(known) = capture.argument(name).filter(|_| arguments.insert(name)) {
                    outline.arguments.push(known.listed.clone());
                }
            }
            outline.secrets.extend(unseen(&capture.secrets, &mut secrets));
            outline.ssh.extend(unseen(&capture.ssh, &mut ssh));
        }
        outline.arguments.sort_by_key(|listed| first_line(&listed.ranges));
        outline.secrets.sort_by_key(|need| first_line(&need.ranges));
        outline.ssh.sort_by_key(|need| first_line(&need.ranges));
        outline
    }

    /// The target, what it is built on, what it names: the nearest says what a name means.
    fn in_order(&self, target: usize) -> Vec<usize> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        let mut rest = vec![target];
        while let Some(index) = rest.pop() {
            if seen.insert(index) {
                order.push(index);
                let stage = &self.stages[index];
                rest.extend(stage.dependencies.sources().rev());
                rest.extend(stage.base);
            }
        }
        order
    }
}

fn listed(argument: &Argument, value: Option<&str>, ranges: &[Range]) -> Listed {
    Listed {
        name: argument.key.clone(),
        value: value.unwrap_or_default().to_owned(),
        description: argument.doc.clone(),
        ranges: ranges.to_vec(),
    }
}

/// The first place counts.
fn add_need(needs: &mut BTreeMap<String, Need>, name: &str, required: bool, ranges: &[Range]) {
    needs.entry(name.to_owned()).or_insert_with(|| Need {
        name: name.to_owned(),
        required,
        ranges: ranges.to_vec(),
    });
}

fn unseen<'a>(needs: &'a BTreeMap<String, Need>, seen: &mut BTreeSet<&'a str>) -> Vec<Need> {
    needs.values().filter(|need| seen.insert(need.name.as_str())).cloned().collect()
}

fn first_line(ranges: &[Range]) -> u32 {
    ranges.first().map_or(0, |range| range.start.line)
}
