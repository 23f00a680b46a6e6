//! A build as it is remembered: its steps, what they were made from, and how each got its result.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Kind};

/// One finished build, or one under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// As the client named it.
    pub id: String,
    /// Whose builds are likely to be of the same project: the client's name for its directory.
    pub lineage: String,
    /// Milliseconds since 1970.
    pub started: i64,
    pub ended: i64,
    /// Every step after its inputs.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The digest of the vertex.
    pub vertex: String,
    /// For people: `[build 2/3] RUN make`.
    pub name: String,
    /// The digest of the operation; of a source what it named itself, empty if nobody asked.
    pub operation: String,
    /// Which [`crate::Material`] it is made from.
    pub material: String,
    pub inputs: Vec<Input>,
    /// The keys of the result, in hex, the most telling first.
    pub keys: Vec<String>,
    /// What a source turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// Only this session could name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session_bound: bool,
    /// When the record that answered was made; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<i64>,
    /// Why records that were found could not be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Which build the causes are told against; none if there was nothing similar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// What a step reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Which step of the build.
    pub step: usize,
    pub output: usize,
    /// What the operation calls it: a mount's path; empty if there is only one way to say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Which paths of it count; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Where what is looked at by content begins, for naming files; only of a build under way.
    #[serde(skip)]
    pub bases: Vec<String>,
    /// The key of what these paths contain, in hex, where that counts and was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Where a result came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What depends on it was cached.
    #[default]
    NotNeeded,
    /// A record was there, but what depends on it was cached, too.
    Found,
    Cached,
    /// An equal operation ran for somebody else at the same time.
    Shared,
    Ran,
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::NotNeeded => "not-needed",
            Self::Found => "found",
            Self::Cached => "cached",
            Self::Shared => "shared",
            Self::Ran => "ran",
            Self::Failed => "failed",
        }
    }

    /// Whether there was work to do for it.
    pub fn is_work(self) -> bool {
        matches!(self, Self::Shared | Self::Ran | Self::Failed)
    }
}

impl Step {
    /// What the name says, taken apart.
    pub fn place(&self) -> Place<'_> {
        Place::of(&self.name)
    }

    /// Why it had to be worked for, if no earlier build needs to be looked at to say so.
    pub fn own_reason(&self) -> Option<Kind> {
        if self.forced {
            return Some(Kind::Forced);
        }
        (self.session_bound && self.inputs.is_empty()).then_some(Kind::Session)
    }

    /// Steps that no instruction asked for, such as reading the Dockerfile.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("[internal]")
    }
}

/// The parts of `[linux/arm64 build 2/3] RUN make`. Names of another form have only a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Everything in the brackets but the number.
    pub stage: &'a str,
    /// `2/3`.
    pub number: &'a str,
    /// The first word after the brackets.
    pub verb: &'a str,
}

impl<'a> Place<'a> {
    pub fn of(name: &'a str) -> Self {
        let (inside, rest) =
            name.strip_prefix('[').and_then(|name| name.split_once(']')).unwrap_or(("", name));
        let (stage, last) = inside.rsplit_once(' ').unwrap_or(("", inside));
        let is_number = |text: &str| {
            let parts = text.split_once('/');
            parts.is_some_and(|(one, all)| {
                !one.is_empty() && [one, all].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
            })
        };
        let (stage, number) = if is_number(last) { (stage, last) } else { (inside, "") };
        Self { stage, number, verb: rest.split_whitespace().next().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let place = |name| {
            let Place { stage, number, verb } = Place::of(name);
            [stage, number, verb]
        };
        assert_eq!(place("[build 2/3] RUN make"), ["build", "2/3", "RUN"]);
        assert_eq!(place("[linux/arm64 build 2/3] RUN make"), ["linux/arm64 build", "2/3", "RUN"]);
        assert_eq!(place("[2/3] COPY a b"), ["", "2/3", "COPY"]);
        assert_eq!(place("[internal] load build context"), ["internal", "", "load"]);
        assert_eq!(place("/bin/sh -c true"), ["", "", "/bin/sh"]);
        assert_eq!(place(""), ["", "", ""]);
    }
}
