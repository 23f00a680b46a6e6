//! The instructions that take the rest of the line as their one argument.

use super::expand::Expander;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// Deprecated in favour of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintainer(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSignal(pub String);

/// `user[:group]`, names or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

/// A path; relative ones continue the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir(pub String);

impl Maintainer {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let argument = only(statement, "MAINTAINER")?;
        Flags::none(&statement.flags)?;
        Ok(Self(argument))
    }
}

impl StopSignal {
    /// Flags are not looked at: the reference ignores them.
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        only(statement, "STOPSIGNAL").map(Self)
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        expander(&self.0).map(Self)
    }
}

impl User {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let argument = only(statement, "USER")?;
        Flags::none(&statement.flags)?;
        Ok(Self(argument))
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        expander(&self.0).map(Self)
    }
}

impl Workdir {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let argument = only(statement, "WORKDIR")?;
        Flags::none(&statement.flags)?;
        Ok(Self(argument))
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        expander(&self.0).map(Self)
    }
}

fn only(statement: &Statement, command: &'static str) -> Result<String, Fault> {
    match &statement.arguments.words[..] {
        [argument] => Ok(argument.clone()),
        _ => Err(Fault::ExactlyOneArgument(command)),
    }
}
