//! `ARG name[=default] …`. Flags are not looked at: the reference ignores them.

use super::expand::Expander;
use crate::dockerfile::Fault;
use crate::dockerfile::statement::{Statement, description};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg(pub Vec<Argument>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub key: String,
    /// The default as written; `None` without `=`.
    pub value: Option<String>,
    /// The description comment: `# <key> <text>` directly above.
    pub doc: String,
}

impl Arg {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.is_empty() {
            return Err(Fault::AtLeastOneArgument("ARG"));
        }
        let argument = |word: &String| {
            let (key, value) = match word.split_once('=') {
                Some(("", _)) => return Err(Fault::BlankName("ARG")),
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            Ok(Argument { key: key.to_owned(), value, doc: description(&statement.comments, key) })
        };
        statement.arguments.words.iter().map(argument).collect::<Result<_, _>>().map(Self)
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        let argument = |argument: &Argument| {
            let key = expander(&argument.key)?;
            let value = argument.value.as_deref().map(&mut *expander).transpose()?;
            Ok(Argument { key, value, doc: argument.doc.clone() })
        };
        self.0.iter().map(argument).collect::<Result<_, _>>().map(Self)
    }
}
