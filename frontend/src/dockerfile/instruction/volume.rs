//! `VOLUME path …` or `VOLUME ["path", …]`.

use super::expand::{Expander, each};
use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume(pub Vec<String>);

impl Volume {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.is_empty() {
            return Err(Fault::AtLeastOneArgument("VOLUME"));
        }
        Flags::none(&statement.flags)?;
        let volumes: Vec<String> =
            statement.arguments.words.iter().map(|word| word.trim().to_owned()).collect();
        if volumes.iter().any(String::is_empty) {
            return Err(Fault::EmptyVolume);
        }
        Ok(Self(volumes))
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        each(&self.0, expander).map(Self)
    }
}
