//! Instructions one after the other.

use std::collections::BTreeSet;

use super::Lowering;
use super::env::ConfigPlaces;
use super::history::DEFAULT_PATH;
use super::stage::{Planned, StageState};
use crate::dockerfile::shell::{Lexer, Variables};
use crate::dockerfile::{Command, Fault, Instruction};
use crate::error::Failure;
use crate::lint::{self, multiple_instructions_disallowed::Seen};

impl Lowering<'_> {
    pub(super) fn dispatch_stages(&mut self, needed: &BTreeSet<usize>, target: usize) -> Result<(), Failure> {
        let mut heirs = vec![0_usize; self.stages.len()];
        for base in self.stages.iter().filter_map(|stage| stage.base) {
            heirs[base] += 1;
        }
        // What the target is stays with it.
        heirs[target] += 1;
        for index in 0..self.stages.len() {
            let skipped = !needed.contains(&index) || self.stages[index].is_dispatched;
            if !self.request.all_stages && skipped {
                continue;
            }
            let base = self.stages[index].base;
            let last = base.is_some_and(|base| {
                heirs[base] -= 1;
                heirs[base] == 0
            });
            self.inherit(index, last);
            self.stages[index].is_dispatched = true;
            // Other stages are only read, and no stage reads itself: that would be a circle.
            let mut stage = std::mem::take(&mut self.stages[index]);
            let taken_over = if last { 0 } else { stage.weight };
            let result = match self.spend(taken_over) {
                Ok(()) => self.dispatch_stage(&mut stage),
                Err(fault) => Err(Failure::from(fault).at(&stage.ranges)),
            };
            self.stages[index] = stage;
            result?;
        }
        Ok(())
    }

    fn dispatch_stage(&mut self, stage: &mut StageState) -> Result<(), Failure> {
        self.start(stage).map_err(|failure| failure.at(&stage.ranges))?;
        let commands = std::mem::take(&mut stage.commands);
        let mut seen = Seen::default();
        let before = self.spent;
        for planned in &commands {
            let told = stage.image.history.len();
            let result = self.dispatch(stage, planned, &mut seen).and_then(|()| {
                let history = stage.image.history.iter().skip(told);
                Ok(self.spend(history.map(|line| line.created_by.len()).sum())?)
            });
            result.map_err(|failure| failure.at(&planned.instruction.ranges))?;
        }
        stage.weight += self.spent - before;
        stage.commands = commands;
        stage.config_places = ConfigPlaces::default();
        self.note_scans(stage);
        Ok(())
    }

    /// What the image says holds for the first command.
    fn start(&mut self, stage: &mut StageState) -> Result<(), Failure> {
        stage.platform.get_or_insert_with(|| self.target_platform.clone());
        let is_windows = stage.is_windows();
        let config = &mut stage.image.config;
        if !is_windows && !config.env.iter().any(|variable| key_of(variable) == "PATH") {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        stage.config_places = ConfigPlaces::of(&config.env);
        for variable in &config.env {
            let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
            stage.state.environment.set(key, value);
        }
        let (folder, user) = (config.working_dir.clone(), config.user.clone());
        if !folder.is_empty() {
            super::workdir::enter(stage, &folder)?;
        }
        if !user.is_empty() {
            stage.state.user = user;
        }
        Ok(())
    }

    fn dispatch<'p>(
        &mut self,
        stage: &mut StageState,
        planned: &'p Planned,
        seen: &mut Seen<'p>,
    ) -> Result<(), Failure> {
        let instruction: &'p Instruction = &planned.instruction;
        stage.progress.is_trigger = planned.is_trigger;
        seen.check(instruction, &mut self.linter);
        match &instruction.command {
            Command::Add(add) => self.add(stage, instruction, add),
            Command::Arg(arg) => self.arg(stage, instruction, arg),
            Command::Copy(copy) => self.copy(stage, planned, copy),
            Command::Env(env) => self.env(stage, instruction, env),
            Command::Label(label) => self.label(stage, instruction, label),
            Command::Run(run) => self.run_command(stage, planned, run),
            Command::Workdir(workdir) => self.workdir(stage, instruction, workdir),
            Command::Cmd(line) => self.cmd(stage, instruction, line),
            Command::Entrypoint(line) => self.entrypoint(stage, instruction, line),
            Command::Expose(expose) => self.expose(stage, instruction, expose),
            Command::HealthCheck(check) => self.healthcheck(stage, check),
            Command::Maintainer(maintainer) => self.maintainer(stage, maintainer),
            Command::Shell(shell) => self.shell(stage, shell),
            Command::StopSignal(signal) => self.stop_signal(stage, instruction, signal),
            Command::User(user) => self.user(stage, instruction, user),
            Command::Volume(volume) => self.volume(stage, instruction, volume),
            Command::OnBuild(trigger) => {
                stage.image.config.on_build.push(trigger.0.clone());
                Ok(())
            }
        }
    }

    /// One word with the stage's variables; unknown ones are reported.
    pub(super) fn expand(
        &mut self,
        stage: &StageState,
        instruction: &Instruction,
        word: &str,
    ) -> Result<String, Fault> {
        self.expand_with(self.lexer, stage, instruction, word)
    }

    /// A heredoc body: quotes are text there.
    pub(super) fn expand_body(
        &mut self,
        stage: &StageState,
        instruction: &Instruction,
        body: &str,
    ) -> Result<String, Fault> {
        self.expand_with(Lexer { skip_quotes: true, ..Lexer::new('\\') }, stage, instruction, body)
    }

    fn expand_with(
        &mut self,
        lexer: Lexer,
        stage: &StageState,
        instruction: &Instruction,
        word: &str,
    ) -> Result<String, Fault> {
        let environment = &stage.state.environment;
        let result = lexer.process_word(word, environment);
        let unmatched = match &result {
            Ok(expansion) => &expansion.unmatched,
            Err(error) => &error.unmatched,
        };
        let is_declared = |name: &str| stage.arguments.contains(name);
        if !unmatched.iter().all(|name| is_declared(name)) {
            let is_done = self.linter.has_compared_enough();
            let set: Vec<&str> = if is_done { Vec::new() } else { environment.keys().collect() };
            lint::undefined_var::check(instruction, unmatched, &is_declared, &set, &mut self.linter);
        }
        let text = result?.text;
        self.spend(text.len())?;
        Ok(text)
    }

    /// What progress shows of an instruction: keyword in capitals, variables expanded if they can be.
    pub(super) fn shown(&self, lexer: &Lexer, text: &str, variables: &dyn Variables) -> String {
        let text =
            lexer.process_word(text, variables).map_or_else(|_| text.to_owned(), |expansion| expansion.text);
        let keyword = text.split(' ').next().unwrap_or_default();
        if keyword.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return text;
        }
        [&keyword.to_uppercase(), &text[keyword.len()..]].concat()
    }

    /// The next step's name.
    pub(super) fn step_name(&mut self, stage: &mut StageState, text: &str) -> Result<String, Fault> {
        self.spend(text.len())?;
        let platform = if self.request.options.multi_platform { stage.platform.as_ref() } else { None };
        Ok(stage.progress.name(&stage.name, text, platform, &stage.state.environment))
    }
}

fn key_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(key, _)| key)
}
