//! Dockerfile bytes to a syntax tree: `parse`.
//!
//! The way of the bytes: `lines` cuts physical lines, `statement` joins continued ones and splits
//! them into keyword, flags and arguments, `instruction` gives each its typed form, and stages collect
//! them. Variables are *not* expanded here: commands keep the words as written and offer `expand`,
//! because values are known only while lowering. Bytes that are not UTF-8 become U+FFFD.
//!
//! `draft` is where other files come in, if the language has `INCLUDE` (`language`).
//!
//! Two kinds of errors differ in their text, as users of the reference know them: what is wrong with
//! the shape of a line is reported bare, for the whole file first; what is wrong with an instruction
//! is prefixed `dockerfile parse error on line N:`.

mod arguments;
pub mod directive;
mod draft;
mod error;
mod flags;
pub mod heredoc;
pub mod instruction;
mod language;
mod lines;
pub mod shell;
mod source;
mod span;
mod stage;
mod statement;
mod suggest;
pub(crate) mod values;
mod warning;

pub use directive::{Directive, Directives};
pub(crate) use draft::Draft;
pub use error::{Error, Fault};
pub use heredoc::Heredoc;
pub use instruction::{Command, Instruction};
pub use language::{Extensions, Language};
pub use source::{Faulty, Reading, parse, parse_trigger, read};
pub use span::{Position, Range};
pub use stage::{Alias, From, Stage};
pub use suggest::{closest, with_suggestion};
pub use values::parse_duration;
pub use warning::Warning;

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Dockerfile {
    /// `# syntax=`, `# escape=`, `# check=`.
    pub directives: Directives,
    /// Escapes characters and continues lines: `\` or a backtick.
    pub escape: char,
    /// Every `ARG` before the first `FROM`; each one is a [`Command::Arg`].
    pub global_args: Vec<Instruction>,
    pub stages: Vec<Stage>,
    pub warnings: Vec<Warning>,
}
