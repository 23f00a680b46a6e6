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
