//! The command of `RUN`, `CMD`, `ENTRYPOINT`: exec form `["a", "b"]` or shell form `a b`.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Exec form: the arguments. Shell form: the rest of the line as one string, or nothing.
    pub args: Vec<String>,
    /// Shell form: the stage's `SHELL` goes before the arguments.
    pub prepend_shell: bool,
    /// Heredocs of `RUN`.
    pub files: Vec<InlineFile>,
}

/// A heredoc of a shell command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    pub name: String,
    /// As written, leading tabs included.
    pub data: String,
    /// `<<-`: leading tabs are to be removed.
    pub chomp: bool,
}

impl CommandLine {
    pub(super) fn from_statement(statement: &Statement) -> Self {
        let file = |heredoc: &crate::dockerfile::Heredoc| InlineFile {
            name: heredoc.name.clone(),
            data: heredoc.content.clone(),
            chomp: heredoc.chomp,
        };
        Self {
            args: statement.arguments.words.clone(),
            prepend_shell: !statement.arguments.json,
            files: statement.heredocs.iter().map(file).collect(),
        }
    }

    /// `CMD` and `ENTRYPOINT`; both may be empty, which clears what the base had.
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        Flags::none(&statement.flags)?;
        Ok(Self::from_statement(statement))
    }
}
