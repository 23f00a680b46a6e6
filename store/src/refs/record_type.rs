//! What a snapshot is for; the names are BuildKit's, users filter by them.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RecordType {
    #[default]
    Regular,
    /// Not made for its content to be kept: only `prune --all` removes it.
    Internal,
    /// A frontend's own image.
    Frontend,
    LocalSource,
    GitCheckout,
    CacheMount,
}

const NAMES: [(RecordType, &str); 6] = [
    (RecordType::Regular, "regular"),
    (RecordType::Internal, "internal"),
    (RecordType::Frontend, "frontend"),
    (RecordType::LocalSource, "source.local"),
    (RecordType::GitCheckout, "source.git.checkout"),
    (RecordType::CacheMount, "exec.cachemount"),
];

impl RecordType {
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("regular", |(_, name)| name)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no record type.
#[derive(Debug, thiserror::Error)]
#[error("unknown record type {0:?}")]
pub struct UnknownRecordType(String);

impl FromStr for RecordType {
    type Err = UnknownRecordType;

    fn from_str(text: &str) -> Result<Self, UnknownRecordType> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| UnknownRecordType(text.to_owned()))
    }
}

impl rusqlite::ToSql for RecordType {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl rusqlite::types::FromSql for RecordType {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)))
    }
}
