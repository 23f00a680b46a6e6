//! What a step differs in from an earlier one, and how that is said.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Longest old or new value that is kept; the rest is cut.
const LONGEST: usize = 200;
/// Files named in one line of text.
const NAMED: usize = 5;

/// One difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub kind: Kind,
    /// The step in which it lies: the explained one, or one that it builds on.
    pub vertex: String,
    pub step: String,
    /// What is different: a variable's name, a mount's path, a field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// Where the files of each selector are; until they are named.
    #[serde(skip)]
    pub bases: Vec<String>,
    /// How many files changed beyond those listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_files: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Words of a command.
    Argument,
    /// A variable of the environment; `ARG`s are, too.
    Environment,
    /// Another image, or another digest behind its name.
    BaseImage,
    Mount,
    /// Anything else that an operation says of itself.
    Field,
    /// Files that it reads.
    Files,
    /// The content of an input, when the earlier list of files is not there to compare with.
    Content,
    /// A step that was not there before stands before it.
    Inserted,
    /// A step that stood before it is no more.
    Removed,
    /// It builds on another step than before; both are still there.
    Order,
    /// Nothing similar ran before.
    #[default]
    First,
    /// It is the same as before, but the record is gone.
    Pruned,
    /// The cache was not to be used.
    Forced,
    /// The cache was not to be used for something it builds on.
    ForcedInput,
    /// The record was there but could not be loaded.
    NotLoadable,
    /// It never came to an end before.
    NotFinished,
    /// It reads what only this client can give, so it is never looked up.
    Session,
    /// A step it builds on ran again and made something else, though nothing of it changed.
    Remade,
}

/// A path whose entry is not what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    pub path: String,
    /// `added`, `removed`, or some of `content`, `mode 0644 → 0755`, `owner 0:0 → 1:1`, `type`, `attributes`.
    pub what: Vec<String>,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Environment => "environment",
            Self::BaseImage => "base-image",
            Self::Mount => "mount",
            Self::Field => "field",
            Self::Files => "files",
            Self::Content => "content",
            Self::Inserted => "inserted",
            Self::Removed => "removed",
            Self::Order => "order",
            Self::First => "first",
            Self::Pruned => "pruned",
            Self::Forced => "forced",
            Self::ForcedInput => "forced-input",
            Self::NotLoadable => "not-loadable",
            Self::NotFinished => "not-finished",
            Self::Session => "session",
            Self::Remade => "remade",
        }
    }

    /// Whether this says that no similar step was there to be used, rather than what differs from it.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::First | Self::Session)
    }
}

impl Cause {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), ..Self::default() }
    }

    pub fn changed(kind: Kind, what: impl Into<String>, old: Option<&str>, new: Option<&str>) -> Self {
        Self { old: old.map(clipped), new: new.map(clipped), ..Self::new(kind, what) }
    }

    #[must_use]
    pub fn of(mut self, vertex: &str, step: &str) -> Self {
        (self.vertex, self.step) = (vertex.to_owned(), step.to_owned());
        self
    }

    /// One line. `explained` is the vertex that this explains; what lies elsewhere says where.
    pub fn text(&self, explained: &str) -> String {
        let said = self.said();
        if self.vertex == explained || self.vertex.is_empty() {
            return said;
        }
        format!("because {}: {said}", self.step)
    }

    fn said(&self) -> String {
        let what = &self.what;
        match self.kind {
            Kind::Argument => format!("argument{}", self.change()),
            Kind::Environment => format!("variable {what}{}", self.change()),
            Kind::BaseImage if what.is_empty() => format!("base image{}", self.change()),
            Kind::BaseImage => format!("base image {what}{}", self.change()),
            Kind::Mount => format!("mount {what}{}", self.change()),
            Kind::Field => format!("{what}{}", self.change()),
            Kind::Files => self.files_text(),
            Kind::Content => format!("content of {what} changed; what it was is not known any more"),
            Kind::Inserted => "this step was not there before".into(),
            Kind::Removed => format!("{what} is not there any more"),
            Kind::Order => format!("it builds on {}, before on {}", self.new_text(), self.old_text()),
            Kind::First => "nothing like it ran before".into(),
            Kind::Pruned => "nothing changed, but the earlier result is gone from the cache".into(),
            Kind::Forced => "the cache was not to be used".into(),
            Kind::ForcedInput => "the cache was not to be used for this step".into(),
            Kind::NotLoadable => format!("the earlier result does not load: {what}"),
            Kind::NotFinished => "nothing changed, but the earlier run left no result".into(),
            Kind::Session => "comes from the client, with every build".into(),
            Kind::Remade => "ran again and made something else".into(),
        }
    }

    fn change(&self) -> String {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!(": {} → {}", shown(old), shown(new)),
            (None, Some(new)) => format!(" added: {}", shown(new)),
            (Some(old), None) => format!(" removed: {}", shown(old)),
            (None, None) => " changed".into(),
        }
    }

    fn old_text(&self) -> &str {
        self.old.as_deref().unwrap_or("nothing")
    }

    fn new_text(&self) -> &str {
        self.new.as_deref().unwrap_or("nothing")
    }

    fn files_text(&self) -> String {
        let all = self.files.len() + self.more_files;
        let mut text = if all == 1 { "file ".to_owned() } else { format!("{all} files: ") };
        for (index, file) in self.files.iter().take(NAMED).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{} ({})", file.path, file.what.join(", "));
        }
        if all > NAMED {
            let _ = write!(text, ", and {} more", all - NAMED);
        }
        text
    }
}

/// Empty and blank values would not be seen.
fn shown(value: &str) -> String {
    if value.is_empty() || value.trim() != value { format!("{value:?}") } else { value.replace('\n', "⏎") }
}

fn clipped(value: &str) -> String {
    if value.chars().count() <= LONGEST {
        return value.to_owned();
    }
    let mut text: String = value.chars().take(LONGEST).collect();
    text.push('…');
    text
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_in_one_line() {
        let cause = Cause::changed(Kind::Environment, "A", Some("1"), Some("")).of("v", "[2/3] RUN a");
        assert_eq!(cause.text("v"), "variable A: 1 → \"\"");
        assert_eq!(cause.text("w"), "because [2/3] RUN a: variable A: 1 → \"\"");
        let file = |path: &str, what: &str| FileChange { path: path.into(), what: vec![what.into()] };
        let one = Cause { files: vec![file("/a", "added")], ..Cause::new(Kind::Files, "") };
        assert_eq!(one.text(""), "file /a (added)");
        let many = Cause {
            files: (0..6).map(|index| file(&format!("/{index}"), "content")).collect(),
            more_files: 4,
            ..Cause::new(Kind::Files, "")
        };
        assert!(many.text("").starts_with("10 files: /0 (content), /1"), "{}", many.text(""));
        assert!(many.text("").ends_with("and 5 more"), "{}", many.text(""));
        let long = Cause::changed(Kind::Argument, "", None, Some(&"x".repeat(1000)));
        assert_eq!(long.new.map(|new| new.chars().count()), Some(LONGEST + 1));
    }
}
