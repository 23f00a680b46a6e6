//! A file cut into statements whose instructions nobody has looked at yet: so other files can be put
//! in the place of `INCLUDE`s.
//!
//! Included statements stand where their `INCLUDE` stands: that line is the one in the file that the user
//! builds. What is wrong with them names their own file and line.

use std::sync::Arc;

use super::directive::{self, Directives};
use super::instruction::Include;
use super::language::Language;
use super::source::{self, Reading};
use super::statement::{self, Origin, Statements};
use super::{Error, Fault};

/// Includes of includes, and all includes of a file.
const DEEPEST: u8 = 8;
const MOST: usize = 64;

pub(crate) struct Draft {
    directives: Directives,
    read: Statements,
    included: usize,
}

impl Draft {
    pub(crate) fn new(source: &[u8], language: Language) -> Self {
        let find = |name| directive::find(name, source);
        let directives = Directives { syntax: find("syntax"), escape: find("escape"), check: find("check") };
        Self { directives, read: statement::read(source, language), included: 0 }
    }

    /// The first `INCLUDE` at or behind a place, and its place.
    pub(crate) fn next_include(&self, from: usize) -> Option<(usize, Result<Include, Error>)> {
        let behind = self.read.statements.iter().enumerate().skip(from);
        let (place, statement) = behind
            .into_iter()
            .find(|(_, statement)| statement.language.is_extended() && statement.name == "include")?;
        let include = match &statement.origin {
            Some(origin) if origin.depth >= DEEPEST => Err(Fault::DeepIncludes(DEEPEST)),
            _ if self.included >= MOST => Err(Fault::ManyIncludes(MOST)),
            _ => Include::read(statement),
        };
        Some((place, include.map_err(|fault| statement.error(fault))))
    }

    /// Leaves out an `INCLUDE` that cannot be read.
    pub(crate) fn refuse(&mut self, place: usize, error: Error) {
        self.read.statements.remove(place);
        self.read.faults.push(error);
    }

    /// Puts a file in the place of the `INCLUDE` that names it.
    pub(crate) fn replace(&mut self, place: usize, file: &str, source: &[u8], language: Language) {
        let other = statement::read(source, language);
        let include = self.read.statements.remove(place);
        self.included += 1;
        let depth = include.origin.as_ref().map_or(0, |origin| origin.depth) + 1;
        let file: Arc<str> = file.into();
        let at = |line| Some(Origin { file: file.clone(), line, depth });
        if other.escape != self.read.escape {
            self.read.faults.push(include.error(Fault::IncludedEscape(file.to_string())));
            return;
        }
        for Error { fault, ranges, .. } in other.faults {
            let line = ranges.first().map_or(0, |range| range.start.line);
            let origin = at(line);
            let included = statement::Statement { origin, ..include.clone() };
            self.read.faults.push(included.error(fault));
        }
        let (first_line, last_line) = (include.first_line, include.last_line);
        let statements = other.statements.into_iter().map(|statement| statement::Statement {
            origin: at(statement.first_line),
            first_line,
            last_line,
            ..statement
        });
        self.read.statements.splice(place..place, statements);
    }

    pub(crate) fn finish(self) -> Reading {
        source::assemble(self.read, self.directives)
    }
}
