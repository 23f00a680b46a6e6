//! `INCLUDE [--from=<context>] <file>`: the instructions of another file, as if they stood here. An
//! extension of the language.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// A named context; empty for the build context.
    pub from: String,
    /// As written; it starts at the context's root.
    pub path: String,
}

const FLAGS: &[(&str, Kind)] = &[("from", Kind::Text)];

impl Include {
    pub(in crate::dockerfile) fn read(statement: &Statement) -> Result<Self, Fault> {
        let flags = Flags::parse(&statement.flags, FLAGS)?;
        let [path] = &statement.arguments.words[..] else {
            return Err(Fault::ExactlyOneArgument("INCLUDE"));
        };
        let from = flags.text("from");
        // Files are put together before any variable has a value.
        if [path, &from].iter().any(|text| text.contains('$')) {
            return Err(Fault::IncludeVariable);
        }
        Ok(Self { from, path: path.clone() })
    }
}
