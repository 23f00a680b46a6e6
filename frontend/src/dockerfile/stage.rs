//! A build stage: a `FROM` and what follows it.

use super::{Instruction, Range};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub from: From,
    /// The name given with `AS`, in lower case; empty without one.
    pub name: String,
    pub instructions: Vec<Instruction>,
    /// The description comment: `# <name> <text>` directly above the `FROM`.
    pub doc: String,
    /// Comments directly above the `FROM`, without `#`.
    pub comments: Vec<String>,
    /// Of the `FROM` instruction.
    pub ranges: Vec<Range>,
    /// The `FROM` instruction as one line.
    pub original: String,
}

/// The `FROM` instruction with its words as written: `FROM [--platform=P] BASE [AS ALIAS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// `FROM` in the casing of the file.
    pub keyword: String,
    /// Empty if the flag is absent; variables not expanded.
    pub platform: String,
    /// Image, stage name, named context or `scratch`; variables not expanded.
    pub base: String,
    pub alias: Option<Alias>,
}

/// `AS name`, both words in the casing of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub keyword: String,
    pub name: String,
}

impl Stage {
    /// The first stage of that name; names are compared without case.
    pub fn position(stages: &[Self], name: &str) -> Option<usize> {
        stages.iter().position(|stage| stage.name.to_lowercase() == name.to_lowercase())
    }
}
