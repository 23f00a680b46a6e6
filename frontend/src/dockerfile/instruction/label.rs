//! `LABEL key=value …` and the legacy `LABEL key value`.

use super::env::{KeyValue, checked, expand_pairs};
use super::expand::Expander;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// In the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub Vec<KeyValue>);

impl Label {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        Flags::none(&statement.flags)?;
        Ok(Self(checked(statement, "LABEL")?))
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        Ok(Self(expand_pairs(&self.0, expander)?))
    }
}
