//! Statements: one instruction each, continued lines joined, heredoc bodies attached.

use std::sync::Arc;

use super::arguments::{self, Arguments, BLANKS};
use super::directive::DirectiveReader;
use super::language::Language;
use super::lines::{self, Lines};
use super::{Error, Fault, Heredoc, Range, Warning, heredoc};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// In the casing of the file.
    pub(super) keyword: String,
    /// The keyword in lower case.
    pub(super) name: String,
    pub(super) flags: Vec<String>,
    pub(super) arguments: Arguments,
    pub(super) heredocs: Vec<Heredoc>,
    /// The joined line.
    pub(super) original: String,
    pub(super) first_line: u32,
    pub(super) last_line: u32,
    /// Comments directly above, without `#`.
    pub(super) comments: Vec<String>,
    pub(super) language: Language,
    /// Where it is written, if not in the file itself.
    pub(super) origin: Option<Origin>,
}

/// A line of an included file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    /// 1: included by the file itself.
    pub(super) depth: u8,
}

impl Statement {
    /// What is wrong with it, and where.
    pub(super) fn error(&self, fault: Fault) -> Error {
        let fault = match &self.origin {
            None => fault,
            Some(Origin { file, line, .. }) => {
                Fault::Included { file: file.to_string(), line: *line, fault: Box::new(fault) }
            }
        };
        Error { fault, line: Some(self.first_line), ranges: self.ranges() }
    }

    pub(super) fn ranges(&self) -> Vec<Range> {
        Range::lines(self.first_line, self.last_line)
    }
}

/// What a file is made of.
pub(super) struct Statements {
    pub(super) statements: Vec<Statement>,
    pub(super) escape: char,
    pub(super) warnings: Vec<Warning>,
    /// What is wrong with the shape of lines; the one that the reference stops at comes first.
    pub(super) faults: Vec<Error>,
}

/// Reads a whole file; lines of a wrong shape are passed over.
pub(super) fn read(source: &[u8], language: Language) -> Statements {
    let mut reader = Reader {
        lines: Lines::new(source),
        directives: DirectiveReader::default(),
        escape: '\\',
        language,
        comments: Vec::new(),
        warnings: Vec::new(),
    };
    let (mut statements, mut faults) = (Vec::new(), Vec::new());
    while let Some(line) = reader.lines.next() {
        match reader.statement(&line) {
            Ok(statement) => statements.extend(statement),
            Err(fault) => faults.push(fault),
        }
    }
    let end = reader.lines.number;
    let too_long = reader.lines.too_long.map(|fault| located(fault, end, end));
    if statements.is_empty() && faults.is_empty() {
        faults.push(located(Fault::NoInstructions, end, end));
    }
    faults.extend(too_long);
    Statements { statements, escape: reader.escape, warnings: reader.warnings, faults }
}

/// The text of the comment `name text`, if there is one; empty without.
pub(super) fn description(comments: &[String], name: &str) -> String {
    let text = |comment: &String| Some(comment.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    if name.is_empty() { String::new() } else { comments.iter().find_map(text).unwrap_or_default() }
}

struct Reader<'a> {
    lines: Lines<'a>,
    directives: DirectiveReader,
    escape: char,
    language: Language,
    comments: Vec<String>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    /// The statement that starts with `line`; `None` for an empty line or a comment.
    fn statement(&mut self, line: &str) -> Result<Option<Statement>, Error> {
        let first_line = self.lines.number;
        let text = lines::without_end(line).trim_start();
        let is_directive = self.directive(text)?;
        if lines::is_comment(line) {
            if !is_directive {
                self.comment(line);
            }
            return Ok(None);
        }
        let Some(joined) = self.joined(text) else { return Ok(None) };
        let last_line = self.lines.number;
        let mut statement =
            split(&joined, self.escape).map_err(|fault| located(fault, first_line, last_line))?;
        if statement.takes_heredocs && joined.contains("<<") {
            statement.statement.heredocs = self.heredocs(&joined, first_line)?;
        }
        let comments = std::mem::take(&mut self.comments);
        let (last_line, language) = (self.lines.number, self.language);
        Ok(Some(Statement {
            first_line,
            last_line,
            comments,
            original: joined,
            language,
            ..statement.statement
        }))
    }

    fn directive(&mut self, text: &str) -> Result<bool, Error> {
        // The reference counts this line only after having read it.
        let line = self.lines.number - 1;
        let directive = self.directives.read(text).map_err(|fault| located(fault, line, line))?;
        if let Some(escape) = directive.as_ref().filter(|directive| directive.name == "escape") {
            self.escape = match escape.value.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => return Err(located(Fault::EscapeToken(other.to_owned()), line, line)),
            };
        }
        Ok(directive.is_some())
    }

    /// An empty comment ends the description above an instruction.
    fn comment(&mut self, line: &str) {
        let mut text = line.chars();
        text.next();
        match text.as_str().trim() {
            "" => self.comments.clear(),
            text => self.comments.push(text.to_owned()),
        }
    }

    /// The line with all that continue it; `None` if there is nothing on it.
    fn joined(&mut self, first: &str) -> Option<String> {
        let Some(start) = lines::continued(first, self.escape) else {
            return (!first.is_empty()).then(|| first.to_owned());
        };
        let mut joined = start.to_owned();
        let mut has_empty_line = false;
        while let Some(line) = self.lines.next() {
            let text = lines::without_end(&line);
            if lines::is_comment(text) {
                continue;
            }
            if text.trim_start().is_empty() {
                has_empty_line = true;
                continue;
            }
            match lines::continued(text, self.escape) {
                Some(text) => joined.push_str(text),
                None => {
                    joined.push_str(text);
                    break;
                }
            }
        }
        if has_empty_line {
            let range = Range::line(self.lines.number);
            self.warnings.push(Warning::EmptyContinuation { statement: joined.clone(), range });
        }
        Some(joined)
    }

    fn heredocs(&mut self, statement: &str, first_line: u32) -> Result<Vec<Heredoc>, Error> {
        let mut heredocs =
            heredoc::announced(statement).map_err(|fault| located(fault, first_line, self.lines.number))?;
        for heredoc in &mut heredocs {
            if !self.body(heredoc) {
                return Err(located(Fault::UnterminatedHeredoc, first_line, self.lines.number));
            }
        }
        Ok(heredocs)
    }

    /// Reads a body and the line that ends it; false if there is none.
    fn body(&mut self, heredoc: &mut Heredoc) -> bool {
        while let Some(line) = self.lines.next() {
            let mut text = lines::without_end(&line);
            if heredoc.chomp {
                text = text.trim_start_matches('\t');
            }
            if text == heredoc.name {
                return true;
            }
            heredoc.content.push_str(&line);
        }
        false
    }
}

struct Split {
    statement: Statement,
    takes_heredocs: bool,
}

/// Keyword, flags, arguments. `ONBUILD`s are followed to the innermost instruction, whose shape is
/// checked; the outermost's argument is the keyword behind it.
fn split(line: &str, escape: char) -> Result<Split, Fault> {
    let (keyword, flags, rest) = keyword_and_flags(line, escape);
    let mut statement = Statement {
        keyword: keyword.to_owned(),
        name: keyword.to_lowercase(),
        flags,
        arguments: Arguments::default(),
        heredocs: Vec::new(),
        original: String::new(),
        first_line: 0,
        last_line: 0,
        comments: Vec::new(),
        language: Language::default(),
        origin: None,
    };
    if statement.name != "onbuild" {
        statement.arguments = arguments::split(&statement.name, rest, escape)?;
        let takes_heredocs = takes_heredocs(&statement.name, &statement.arguments);
        return Ok(Split { statement, takes_heredocs });
    }
    let mut takes = false;
    let mut inner = rest;
    let mut depth = 0;
    while !inner.is_empty() {
        let (keyword, _, rest) = keyword_and_flags(inner, escape);
        let lower = keyword.to_lowercase();
        let arguments = arguments::split(&lower, rest, escape)?;
        if depth == 0 {
            takes = takes_heredocs(&lower, &arguments);
            statement.arguments.words.push(keyword.to_owned());
        }
        depth += 1;
        inner = if lower == "onbuild" { rest } else { "" };
    }
    Ok(Split { statement, takes_heredocs: takes })
}

fn takes_heredocs(keyword: &str, arguments: &Arguments) -> bool {
    matches!(keyword, "add" | "copy" | "run") && !arguments.json
}

fn keyword_and_flags(line: &str, escape: char) -> (&str, Vec<String>, &str) {
    let line = line.trim();
    match line.split_once(BLANKS) {
        Some((keyword, rest)) => {
            let (flags, rest) = leading_flags(rest.trim_start_matches(BLANKS), escape);
            (keyword, flags, rest.trim())
        }
        None => (line, Vec::new(), ""),
    }
}

/// The words before the first that does not start with `--`, without quotes and escapes, and the rest
/// of the line. `--` alone ends them.
///
/// The reference reads bytes here and so spoils flags that are not ASCII; this reads characters.
fn leading_flags(line: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.starts_with("--") {
        let (word, after) = flag(rest, escape);
        if word == "--" {
            return (flags, after);
        }
        flags.push(word);
        rest = after.trim_start();
    }
    (flags, rest)
}

fn flag(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    loop {
        let before = characters.as_str();
        let Some(character) = characters.next() else { return (word, "") };
        match quote {
            None if character.is_whitespace() => return (word, before),
            None if matches!(character, '\'' | '"') => quote = Some(character),
            Some(open) if character == open => quote = None,
            _ if character == escape => word.extend(characters.next()),
            _ => word.push(character),
        }
    }
}

fn located(fault: Fault, first: u32, last: u32) -> Error {
    Error { fault, line: None, ranges: Range::lines(first, last) }
}
