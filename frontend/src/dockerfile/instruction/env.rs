//! `ENV key=value …` and the legacy `ENV key value`.

use super::expand::Expander;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// In the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Env(pub Vec<KeyValue>);

/// Quotes and variables as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
    /// Written `key value`, which the lint rule `LegacyKeyValueFormat` reports.
    pub legacy: bool,
}

impl Env {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        Flags::none(&statement.flags)?;
        Ok(Self(checked(statement, "ENV")?))
    }

    /// Every value sees the environment from before the instruction.
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        Ok(Self(expand_pairs(&self.0, expander)?))
    }
}

pub(super) fn checked(statement: &Statement, command: &'static str) -> Result<Vec<KeyValue>, Fault> {
    let pairs = &statement.arguments.pairs;
    if pairs.is_empty() {
        return Err(Fault::AtLeastOneArgument(command));
    }
    if pairs.iter().any(|pair| pair.key.is_empty()) {
        return Err(Fault::BlankName(command));
    }
    Ok(pairs.clone())
}

pub(super) fn expand_pairs(pairs: &[KeyValue], expander: &mut Expander<'_>) -> Result<Vec<KeyValue>, Fault> {
    pairs
        .iter()
        .map(|pair| {
            let key = expander(&pair.key)?;
            Ok(KeyValue { key, value: expander(&pair.value)?, legacy: pair.legacy })
        })
        .collect()
}
