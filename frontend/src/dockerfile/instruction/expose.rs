//! `EXPOSE port[-port][/protocol] …`.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// The words, sorted, variables not expanded (one word may expand to several ports).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose(pub Vec<String>);

impl Expose {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.is_empty() {
            return Err(Fault::AtLeastOneArgument("EXPOSE"));
        }
        Flags::none(&statement.flags)?;
        let mut ports = statement.arguments.words.clone();
        ports.sort();
        Ok(Self(ports))
    }
}
