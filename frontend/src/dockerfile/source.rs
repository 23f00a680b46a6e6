//! The entry points: a whole file, and a trigger that an image carries.

use super::directive::Directives;
use super::draft::Draft;
use super::language::Language;
use super::statement::{self, Statement, Statements};
use super::{Command, Dockerfile, Error, Fault, Instruction, Range, Stage, instruction};

/// What could be read of a file, and all that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// All up to the first instruction that is wrong; empty if a line's shape is.
    pub dockerfile: Dockerfile,
    /// First the one that the reference stops at, then the others in the order of the file.
    pub errors: Vec<Error>,
    /// The instruction that `dockerfile` ends before.
    pub faulty: Option<Faulty>,
}

/// An instruction that has no typed form: what some rules look at all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// In the casing of the file.
    pub keyword: String,
    pub words: Vec<String>,
    pub comments: Vec<String>,
    pub ranges: Vec<Range>,
}

/// Reads a Dockerfile. It may lack stages: what that means is for the caller to say.
pub fn parse(source: &[u8]) -> Result<Dockerfile, Error> {
    let Reading { dockerfile, errors, .. } = read(source);
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(dockerfile),
    }
}

/// Reads a Dockerfile to its end, whatever is wrong on the way.
pub fn read(source: &[u8]) -> Reading {
    Draft::new(source, Language::default()).finish()
}

/// From statements to instructions.
pub(super) fn assemble(read: Statements, directives: Directives) -> Reading {
    let mut dockerfile = Dockerfile {
        directives,
        escape: read.escape,
        global_args: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    let is_shapely = read.faults.is_empty();
    let mut reading = Reading { dockerfile: dockerfile.clone(), errors: read.faults, faulty: None };
    let mut has_stage = false;
    for statement in read.statements {
        has_stage |= is_from(&statement);
        match typed(&dockerfile, &statement, has_stage) {
            Ok(typed) => {
                add(&mut dockerfile, statement, typed);
                continue;
            }
            Err(error) => reading.errors.push(error),
        }
        // Said once.
        has_stage = true;
        if is_shapely && reading.faulty.is_none() {
            reading.faulty = Some(Faulty::from(&statement));
            reading.dockerfile = dockerfile.clone();
        }
    }
    if is_shapely {
        if reading.faulty.is_none() {
            reading.dockerfile = dockerfile;
        }
        reading.dockerfile.warnings = read.warnings;
    }
    if let Some((_, rest)) = reading.errors.split_first_mut() {
        rest.sort_by_key(|error| error.ranges.first().map(|range| range.start));
    }
    reading
}

/// Reads an `ONBUILD` trigger of a base image. It stands where `ranges` say: at the `FROM`.
pub fn parse_trigger(text: &str, ranges: &[Range], language: Language) -> Result<Instruction, Error> {
    let located = |fault| Error { fault, line: None, ranges: ranges.to_vec() };
    let read = statement::read(text.as_bytes(), language);
    if let Some(error) = read.faults.into_iter().next() {
        return Err(located(error.fault));
    }
    let mut statements = read.statements.into_iter();
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(located(Fault::TriggerCount));
    };
    if is_from(&statement) {
        instruction::read_from(&statement).map_err(located)?;
        return Err(located(Fault::TriggerStage));
    }
    let command = instruction::command(&statement).map_err(located)?;
    Ok(Instruction { ranges: ranges.to_vec(), ..instruction::instruction(statement, command) })
}

/// What a statement says.
enum Typed {
    Stage(Stage),
    Command(Command),
}

/// `has_stage`: there is a `FROM`, if only one that is wrong.
fn typed(dockerfile: &Dockerfile, statement: &Statement, has_stage: bool) -> Result<Typed, Error> {
    let faulty = |fault| statement.error(fault);
    if is_from(statement) {
        return instruction::read_from(statement).map(Typed::Stage).map_err(faulty);
    }
    let command = instruction::command(statement).map_err(faulty)?;
    let may_stand = !dockerfile.stages.is_empty() || matches!(command, Command::Arg(_)) || has_stage;
    if may_stand { Ok(Typed::Command(command)) } else { Err(Error { line: None, ..faulty(Fault::NoStage) }) }
}

fn add(dockerfile: &mut Dockerfile, statement: Statement, typed: Typed) {
    match (typed, dockerfile.stages.last_mut()) {
        (Typed::Stage(stage), _) => dockerfile.stages.push(stage),
        (Typed::Command(command), Some(stage)) => {
            stage.instructions.push(instruction::instruction(statement, command));
        }
        (Typed::Command(command @ Command::Arg(_)), None) => {
            dockerfile.global_args.push(instruction::instruction(statement, command));
        }
        // Of a stage whose `FROM` is wrong.
        (Typed::Command(_), None) => {}
    }
}

impl From<&Statement> for Faulty {
    fn from(statement: &Statement) -> Self {
        Self {
            keyword: statement.keyword.clone(),
            words: statement.arguments.words.clone(),
            comments: statement.comments.clone(),
            ranges: statement.ranges(),
        }
    }
}

fn is_from(statement: &Statement) -> bool {
    statement.name == "from"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::Warning;

    fn first(source: &str) -> Instruction {
        parse(format!("FROM a\n{source}").as_bytes()).unwrap().stages[0].instructions[0].clone()
    }

    #[track_caller]
    fn fails(source: &str, message: &str, lines: &[u32]) {
        let error = parse(source.as_bytes()).unwrap_err();
        let ranges: Vec<u32> = error.ranges.iter().map(|range| range.start.line).collect();
        assert_eq!((error.to_string().as_str(), ranges.as_slice()), (message, lines));
    }

    #[test]
    fn continued_lines_join() {
        let run = first("RUN a \\  \n  # comment\n  b \\\n\n c\\\\\n");
        assert_eq!(run.original, r"RUN a   b  c\\");
        assert_eq!(run.ranges, Range::lines(2, 6));
        let dockerfile = parse(b"FROM a\nRUN a \\\n\n b\n").unwrap();
        let [Warning::EmptyContinuation { range, .. }] = &dockerfile.warnings[..] else { panic!() };
        assert_eq!(*range, Range::line(4));
    }

    #[test]
    fn comments_above_describe() {
        let source = b"# a first\nARG a=1 b\n# gone\n#\n# x the stage\n\nFROM a as X\n# c\nRUN x";
        let dockerfile = parse(source).unwrap();
        let Command::Arg(arg) = &dockerfile.global_args[0].command else { panic!() };
        assert_eq!((arg.0[0].doc.as_str(), arg.0[1].doc.as_str()), ("first", ""));
        assert_eq!(
            (dockerfile.stages[0].doc.as_str(), dockerfile.stages[0].name.as_str()),
            ("the stage", "x")
        );
        assert_eq!(dockerfile.stages[0].instructions[0].comments, ["c"]);
    }

    #[test]
    fn errors_say_where() {
        let unknown = "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)";
        let variable = "dockerfile parse error on line 2: 'from' doesn't support variable expansion, \
                        define alias stage instead";
        fails("", "file with no instructions", &[0]);
        fails("RUN a", "no build stage in current context", &[1]);
        fails("FROM a\nRUNN b", unknown, &[2]);
        fails("FROM a\nENV a \\\n", "ENV must have two arguments", &[2]);
        fails("FROM a\nRUN <<E\nx\n", "unterminated heredoc", &[2, 3]);
        fails("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\", &[0]);
        fails(
            "FROM a\nCMD [1]",
            "when using JSON array syntax, arrays must be comprised of strings only",
            &[2],
        );
        fails("FROM a\nRUN --mount=from=$x true", variable, &[2]);
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let source = b"FROM a b\nRUNN x\nFROM c\nCOPY --form=c a b\nENV x\nRUN y\n";
        let Reading { dockerfile, errors, faulty } = read(source);
        let lines: Vec<u32> = errors.iter().map(|error| error.ranges[0].start.line).collect();
        // A line's shape is looked at before all instructions.
        assert_eq!(lines, [5, 1, 2, 4]);
        assert_eq!((dockerfile.stages.len(), faulty), (0, None));

        let reading = read(b"FROM a\nRUN x\nFROM b c\nRUN y\nCMDD\n");
        assert_eq!(reading.errors.len(), 2);
        assert_eq!(reading.dockerfile.stages[0].instructions.len(), 1);
        assert_eq!(reading.faulty.unwrap().words, ["b", "c"]);
        assert_eq!(read(b"RUN a\nRUN b\nFROM c\n").errors.len(), 1);
    }

    #[test]
    fn line_ends_and_odd_bytes_are_taken() {
        let dockerfile = parse(b"\xef\xbb\xbfFROM a\r\nRUN x \\\r\n y\r\nRUN \xff\0\r\n").unwrap();
        let instructions = &dockerfile.stages[0].instructions;
        assert_eq!(instructions[0].original, "RUN x  y");
        assert_eq!(instructions[1].original, "RUN \u{fffd}\0");
    }

    #[test]
    fn triggers_read_back() {
        let Command::OnBuild(trigger) = first("ONBUILD RUN <<EOF\nx\nEOF\n").command else { panic!() };
        assert_eq!(trigger.0, "RUN <<EOF\nx\nEOF");
        let ranges = Range::lines(7, 7);
        let instruction = parse_trigger(&trigger.0, &ranges, Language::default()).unwrap();
        assert_eq!((instruction.heredocs[0].content.as_str(), &instruction.ranges), ("x\n", &ranges));
        assert_eq!(
            parse_trigger("RUN a\nRUN b", &ranges, Language::default()).unwrap_err().fault,
            Fault::TriggerCount
        );
        assert_eq!(
            parse_trigger("FROM a", &ranges, Language::default()).unwrap_err().fault,
            Fault::TriggerStage
        );
        assert!(parse_trigger("RUNN", &ranges, Language::default()).is_err());
    }

    #[test]
    fn flags_may_be_quoted_and_escaped() {
        let source = r#"COPY --exclude="a b" --exclude=é\ x --link=FALSE -- --a b"#;
        let Command::Copy(copy) = first(source).command else { panic!() };
        assert_eq!(copy.excludes, ["a b", "é x"]);
        assert_eq!((copy.link, copy.sources.paths), (false, vec!["--a".to_owned()]));
    }
}
