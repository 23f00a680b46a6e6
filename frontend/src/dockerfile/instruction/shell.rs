//! `SHELL ["program", "argument", …]`.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// What shell forms are run with; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell(pub Vec<String>);

impl Shell {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        Flags::none(&statement.flags)?;
        if statement.arguments.words.is_empty() {
            return Err(Fault::AtLeastOneArgument("SHELL"));
        }
        if !statement.arguments.json {
            return Err(Fault::NotJson("SHELL"));
        }
        Ok(Self(statement.arguments.words.clone()))
    }
}
