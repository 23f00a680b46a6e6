//! From a statement to its command.

use super::{
    Add, Arg, Command, CommandLine, Copy, Env, Expose, HealthCheck, Instruction, Label, Maintainer, OnBuild,
    Run, Shell, StopSignal, User, Volume, Workdir,
};
use crate::dockerfile::arguments::KEYWORDS;
use crate::dockerfile::statement::Statement;
use crate::dockerfile::{Fault, suggest};

/// A statement and what it says.
pub(in crate::dockerfile) fn instruction(statement: Statement, command: Command) -> Instruction {
    Instruction {
        command,
        ranges: statement.ranges(),
        keyword: statement.keyword,
        original: trimmed(statement.original),
        comments: statement.comments,
        heredocs: statement.heredocs,
    }
}

fn trimmed(text: String) -> String {
    match text.trim() {
        all if all.len() == text.len() => text,
        part => part.to_owned(),
    }
}

/// Of any statement but `FROM`, which opens a stage and is no instruction of one.
pub(in crate::dockerfile) fn command(statement: &Statement) -> Result<Command, Fault> {
    Ok(match statement.name.as_str() {
        "add" => Command::Add(Add::read(statement)?),
        "arg" => Command::Arg(Arg::read(statement)?),
        "cmd" => Command::Cmd(CommandLine::read(statement)?),
        "copy" => Command::Copy(Copy::read(statement)?),
        "entrypoint" => Command::Entrypoint(CommandLine::read(statement)?),
        "env" => Command::Env(Env::read(statement)?),
        "expose" => Command::Expose(Expose::read(statement)?),
        "healthcheck" => Command::HealthCheck(HealthCheck::read(statement)?),
        "label" => Command::Label(Label::read(statement)?),
        "maintainer" => Command::Maintainer(Maintainer::read(statement)?),
        "onbuild" => Command::OnBuild(OnBuild::read(statement)?),
        "run" => Command::Run(Run::read(statement)?),
        "shell" => Command::Shell(Shell::read(statement)?),
        "stopsignal" => Command::StopSignal(StopSignal::read(statement)?),
        "user" => Command::User(User::read(statement)?),
        "volume" => Command::Volume(Volume::read(statement)?),
        "workdir" => Command::Workdir(Workdir::read(statement)?),
        _ => {
            let keyword = &statement.keyword;
            let fault = Fault::UnknownInstruction(keyword.clone());
            return Err(suggest::with_suggestion(fault, keyword, &KEYWORDS, false));
        }
    })
}
