//! The value of `--chmod`, variables expanded: an octal number, or changes as chmod(1) reads them.

use crate::dockerfile::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// At most `0o7777`.
    Absolute(u32),
    /// Well-formed changes like `u=rwX,go-w`; applied to each file where it is copied.
    Symbolic(String),
}

impl Chmod {
    /// What looks like a number must be one in range.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Absolute(mode)),
                _ => Err(Fault::OctalMode(text.to_owned())),
            };
        }
        if text.split(',').all(is_clause) {
            Ok(Self::Symbolic(text.to_owned()))
        } else {
            Err(Fault::SymbolicMode)
        }
    }
}

/// `[ugoa…]` and one or more of `+`, `-`, `=`, each with its permissions.
fn is_clause(clause: &str) -> bool {
    let changes = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    changes.starts_with(['+', '-', '='])
        && changes.bytes().all(|b| {
            matches!(b, b'+' | b'-' | b'=' | b'r' | b'w' | b'x' | b'X' | b's' | b't' | b'u' | b'g' | b'o')
        })
}
