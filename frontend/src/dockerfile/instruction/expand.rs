//! Expanding the variables of a command, with whatever the caller knows about them.

use crate::dockerfile::Fault;

/// Turns one word as written into its value. Usually [`Lexer::process_word`] over the stage's
/// environment; lint rules wrap it to see which names were missing.
///
/// [`Lexer::process_word`]: crate::dockerfile::shell::Lexer::process_word
pub type Expander<'a> = dyn FnMut(&str) -> Result<String, Fault> + 'a;

pub(super) fn each(words: &[String], expander: &mut Expander<'_>) -> Result<Vec<String>, Fault> {
    words.iter().map(|word| expander(word)).collect()
}
