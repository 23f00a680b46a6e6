//! The entry points: a whole file, and a trigger that an image carries.

use super::directive::{self, Directives};
use super::statement::{self, Statement};
use super::{Command, Dockerfile, Error, Fault, Instruction, Range, instruction};

/// Reads a Dockerfile. It may lack stages: what that means is for the caller to say.
pub fn parse(source: &[u8]) -> Result<Dockerfile, Error> {
    let read = statement::read(source)?;
    let mut dockerfile = Dockerfile {
        directives: Directives {
            syntax: directive::find("syntax", source),
            escape: directive::find("escape", source),
            check: directive::find("check", source),
        },
        escape: read.escape,
        global_args: Vec::new(),
        stages: Vec::new(),
        warnings: read.warnings,
    };
    for statement in &read.statements {
        add(&mut dockerfile, statement)?;
    }
    Ok(dockerfile)
}

/// Reads an `ONBUILD` trigger of a base image. It stands where `ranges` say: at the `FROM`.
pub fn parse_trigger(text: &str, ranges: &[Range]) -> Result<Instruction, Error> {
    let located = |fault| Error { fault, line: None, ranges: ranges.to_vec() };
    let read = statement::read(text.as_bytes()).map_err(|error| located(error.fault))?;
    let [statement] = &read.statements[..] else { return Err(located(Fault::TriggerCount)) };
    if is_from(statement) {
        instruction::read_from(statement).map_err(located)?;
        return Err(located(Fault::TriggerStage));
    }
    let instruction = instruction::read(statement).map_err(located)?;
    Ok(Instruction { ranges: ranges.to_vec(), ..instruction })
}

fn add(dockerfile: &mut Dockerfile, statement: &Statement) -> Result<(), Error> {
    let faulty = |fault| Error { fault, line: Some(statement.first_line), ranges: statement.ranges() };
    if is_from(statement) {
        dockerfile.stages.push(instruction::read_from(statement).map_err(faulty)?);
        return Ok(());
    }
    let instruction = instruction::read(statement).map_err(faulty)?;
    match dockerfile.stages.last_mut() {
        Some(stage) => stage.instructions.push(instruction),
        None if matches!(instruction.command, Command::Arg(_)) => dockerfile.global_args.push(instruction),
        None => return Err(Error { line: None, ..faulty(Fault::NoStage) }),
    }
    Ok(())
}

fn is_from(statement: &Statement) -> bool {
    statement.keyword.to_lowercase() == "from"
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
        let instruction = parse_trigger(&trigger.0, &ranges).unwrap();
        assert_eq!((instruction.heredocs[0].content.as_str(), &instruction.ranges), ("x\n", &ranges));
        assert_eq!(parse_trigger("RUN a\nRUN b", &ranges).unwrap_err().fault, Fault::TriggerCount);
        assert_eq!(parse_trigger("FROM a", &ranges).unwrap_err().fault, Fault::TriggerStage);
        assert!(parse_trigger("RUNN", &ranges).is_err());
    }

    #[test]
    fn flags_may_be_quoted_and_escaped() {
        let source = r#"COPY --exclude="a b" --exclude=é\ x --link=FALSE -- --a b"#;
        let Command::Copy(copy) = first(source).command else { panic!() };
        assert_eq!(copy.excludes, ["a b", "é x"]);
        assert_eq!((copy.link, copy.sources.paths), (false, vec!["--a".to_owned()]));
    }
}
