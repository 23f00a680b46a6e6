//! Here-documents: `[fd]<<[-]WORD`, and the lines up to one that is only WORD.

use super::{Fault, shell};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; of a copied file also its name.
    pub name: String,
    /// The digits before `<<`; 0 without any.
    pub file_descriptor: u64,
    /// False if any part of the delimiter is quoted: the body is literal.
    pub expand: bool,
    /// `<<-`: leading tabs of the body, and of the closing line, do not count.
    pub chomp: bool,
    /// The body as written, line ends included.
    pub content: String,
}

/// Reads one word as a heredoc; `None` if it is not one.
///
/// The delimiter is lexed twice, with its quotes kept and with them removed: if the counts of quotes
/// differ, some part of it was quoted.
pub fn parse(word: &str) -> Result<Option<Heredoc>, Fault> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some(rest) = word[digits..].strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let lexer = shell::Lexer { skip_unset: true, ..shell::Lexer::new('\\') };
    let words = lexer.process_words(rest, &shell::NoVariables)?;
    let [name] = &words[..] else { return Ok(None) };
    let raw = shell::Lexer { raw_quotes: true, ..lexer }.process_words(rest, &shell::NoVariables)?;
    let [raw] = &raw[..] else { return Err(Fault::HeredocWord(rest.to_owned())) };
    Ok(Some(Heredoc {
        name: name.clone(),
        file_descriptor: file_descriptor(&word[..digits]),
        expand: quotes(name) == quotes(raw),
        chomp,
        content: String::new(),
    }))
}

/// The heredocs that a whole instruction announces, in order. Words of a line that does not lex
/// announce none: the shell will complain about them.
pub(super) fn announced(line: &str) -> Result<Vec<Heredoc>, Fault> {
    let lexer =
        shell::Lexer { raw_quotes: true, raw_escapes: true, skip_unset: true, ..shell::Lexer::new('\\') };
    let words = lexer.process_words(line, &shell::NoVariables).unwrap_or_default();
    let mut heredocs = Vec::new();
    for word in words {
        heredocs.extend(parse(&word)?);
    }
    Ok(heredocs)
}

/// Removes the tabs at the start of every line.
pub fn chomp(body: &str) -> String {
    body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

fn quotes(word: &str) -> usize {
    word.bytes().filter(|byte| matches!(byte, b'\'' | b'"')).count()
}

/// A number too large is the largest.
fn file_descriptor(digits: &str) -> u64 {
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) }
}
