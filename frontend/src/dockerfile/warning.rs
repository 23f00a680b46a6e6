//! Facts that only the parser sees and that a lint rule reports.

use super::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A continued line is followed by an empty one. `statement` is the joined text; `range` the
    /// last line of it.
    EmptyContinuation { statement: String, range: Range },
}
