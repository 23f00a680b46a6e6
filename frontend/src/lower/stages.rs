//! The stages of a file: their bases and platforms, the target, what depends on what.

use std::collections::BTreeSet;
use std::sync::Arc;

use slipway_model::Platform;

use super::Lowering;
use super::stage::{Planned, StageState};
use super::state::Environment;
use crate::dockerfile::instruction::RawMount;
use crate::dockerfile::shell::{self, Expansion, NoVariables};
use crate::dockerfile::{Command, Dockerfile, Instruction, Range, Stage, closest};
use crate::error::Failure;
use crate::lint;
use crate::plan::named_context::NamedContext;
use slipway_model::quote::quoted;

pub(super) const SCRATCH: &str = "scratch";

impl Lowering<'_> {
    pub(super) fn add_stages(&mut self, dockerfile: Dockerfile) -> Result<(), Failure> {
        for (index, stage) in dockerfile.stages.into_iter().enumerate() {
            let steps = stage.instructions.iter().filter(|instruction| is_step(instruction)).count();
            let (state, used) = self.stage_state(stage, index)?;
            let ignore_cache = self.request.options.is_without_cache(&state.alias);
            self.register(state);
            if let Some(added) = self.stages.last_mut() {
                if added.named_context.is_some() {
                    added.base = None;
                    continue;
                }
                if let Some(outline) = &mut added.outline {
                    outline.add_used(&used);
                }
                let own_base = added.base_name != SCRATCH && added.base.is_none();
                added.progress.total = usize::from(own_base) + steps;
                added.ignore_cache = ignore_cache;
            }
        }
        Ok(())
    }

    /// With the names of the arguments that the `FROM` uses.
    fn stage_state(&mut self, stage: Stage, index: usize) -> Result<(StageState, BTreeSet<String>), Failure> {
        let at = |failure: Failure| failure.at(&stage.ranges);
        let base = self.lexer.process_word(&stage.from.base, &self.global);
        self.check_arguments(&stage, unmatched(&base));
        let Expansion { text: base_name, matched: mut used, .. } = base.map_err(|error| at(error.into()))?;
        if base_name.is_empty() {
            return Err(at(Failure::new(format!("base name ({}) should not be blank", stage.from.base))));
        }
        let platform = self.stage_platform(&stage)?.map(|(platform, matched)| {
            used.extend(matched);
            platform
        });
        let named_context = match stage.name.as_str() {
            "" => None,
            name => {
                let wanted = platform.as_ref().or(self.request.platform);
                NamedContext::find(self.request.options, name, wanted)?
            }
        };
        let state = StageState {
            name: if stage.name.is_empty() { format!("stage-{index}") } else { stage.name.clone() },
            alias: stage.name,
            doc: stage.doc,
            outline: self.outline.clone(),
            base_name,
            original: stage.original,
            ranges: stage.ranges,
            platform,
            named_context,
            commands: stage.instructions.into_iter().map(Planned::unlinked).collect(),
            ..StageState::default()
        };
        Ok((state, used))
    }

    /// With the names of the arguments that it uses.
    fn stage_platform(&mut self, stage: &Stage) -> Result<Option<(Platform, BTreeSet<String>)>, Failure> {
        let written = &stage.from.platform;
        if written.is_empty() {
            return Ok(None);
        }
        let at = |failure: Failure| failure.at(&stage.ranges);
        let expanded = self.lexer.process_word(written, &self.global);
        self.check_arguments(stage, unmatched(&expanded));
        let target = self.global.value("TARGETPLATFORM").unwrap_or_default();
        let expanded = expanded
            .map_err(|error| at(Failure::from(error).context("failed to process arguments for platform ")))?;
        lint::redundant_target_platform::check(stage, &expanded, target, &mut self.linter);
        lint::from_platform_flag_const_disallowed::check(stage, &expanded, &mut self.linter);
        let suggestion = || {
            let options: Vec<&str> = self.global.keys().collect();
            expanded.unmatched.iter().find_map(|name| closest(name, &options, true))
        };
        let suggested = |mut failure: Failure| {
            if let Some(similar) = suggestion() {
                failure.message.push_str(&format!(" (did you mean {similar}?)"));
            }
            failure
        };
        if expanded.text.is_empty() {
            let failure = Failure::new(format!("empty platform value from expression {written}"));
            return Err(suggested(at(failure)));
        }
        // The reference marks the place twice.
        let parsed = expanded.text.parse::<Platform>().map_err(|error| {
            at(suggested(at(error.into())).context(format!("failed to parse platform {written}")))
        })?;
        Ok(Some((parsed, expanded.matched)))
    }

    fn check_arguments(&mut self, stage: &Stage, unmatched: &BTreeSet<String>) {
        let is_known = |name: &str| self.declared.contains(name) || self.global.value(name).is_some();
        if unmatched.iter().all(|name| is_known(name)) {
            return;
        }
        let known = self.declared.iter().map(String::as_str).chain(self.global.keys());
        let known: Vec<&str> = if self.linter.has_compared_enough() { Vec::new() } else { known.collect() };
        lint::undefined_arg_in_from::check(stage, unmatched, &is_known, &known, &mut self.linter);
    }

    /// Gives a state its number; a base of the name of an earlier stage is that stage.
    pub(super) fn register(&mut self, mut state: StageState) -> usize {
        let index = self.stages.len();
        self.path_sets.push(BTreeSet::new());
        state.paths = self.path_sets.len() - 1;
        state.base = self.by_name.get(&state.base_name).copied();
        if let Some(base) = state.base {
            state.outline.clone_from(&self.stages[base].outline);
        }
        if !state.alias.is_empty() {
            self.by_name.insert(state.alias.to_lowercase(), index);
        }
        self.stages.push(state);
        self.numbers.push(index);
        index
    }

    pub(super) fn find_target(&self) -> Result<usize, Failure> {
        let target = self.request.options.target.as_str();
        if target.is_empty() {
            return Ok(self.stages.len().saturating_sub(1));
        }
        self.by_name.get(&target.to_lowercase()).copied().ok_or_else(|| {
            let names = self.stage_names();
            Failure::new(format!("target stage {} could not be found", quoted(target)))
                .suggest(target, &names)
        })
    }

    pub(super) fn stage_names(&self) -> Vec<&str> {
        self.stages.iter().map(|stage| stage.name.as_str()).filter(|name| !name.is_empty()).collect()
    }

    /// Finds the stages that instructions name; what is no stage becomes one that only loads.
    pub(super) fn link_stages(&mut self) -> Result<(), Failure> {
        let mut index = 0;
        while index < self.stages.len() {
            let instructions = self.stages[index].commands.iter().map(|planned| &*planned.instruction);
            let mut scope = self.source_scope(instructions);
            for position in 0..self.stages[index].commands.len() {
                let instruction = self.stages[index].commands[position].instruction.clone();
                if let (Some(scope), Command::Arg(arg)) = (&mut scope, &instruction.command) {
                    self.add_arguments(arg, scope).map_err(|failure| failure.at(&instruction.ranges))?;
                }
                let sources = self.sources_of(&instruction, scope.as_ref())?;
                self.stages[index].dependencies.add(&sources, &instruction);
                self.stages[index].commands[position].sources = sources;
            }
            index += 1;
        }
        self.check_circles()?;
        if let [only] = &mut self.stages[..] {
            only.name.clear();
        }
        Ok(())
    }

    /// With a scope, names of sources may hold variables.
    pub(super) fn sources_of(
        &mut self,
        instruction: &Instruction,
        scope: Option<&Environment>,
    ) -> Result<Vec<usize>, Failure> {
        match &instruction.command {
            Command::Copy(copy) if !copy.from.is_empty() => {
                Ok(vec![self.copy_source(&copy.from, &instruction.ranges, scope)?])
            }
            Command::Run(run) => {
                let located = |failure: Failure| failure.at(&instruction.ranges);
                run.mounts.iter().map(|mount| self.mount_source(mount, scope).map_err(located)).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The variables that names of sources may hold in the extended language: arguments before the first
    /// `FROM`, to which those of the stage are added. What a stage needs must be known before any base is
    /// looked up, so variables of images are none of them. `None` where nobody asks.
    pub(super) fn source_scope<'i>(
        &self,
        mut instructions: impl Iterator<Item = &'i Instruction>,
    ) -> Option<Environment> {
        let asks = |instruction: &Instruction| match &instruction.command {
            Command::Copy(copy) => copy.from.contains('$'),
            Command::Run(run) => run.mounts.iter().any(|mount| mount.names_variable),
            _ => false,
        };
        (self.request.language.is_extended() && instructions.any(asks)).then(|| self.global.clone())
    }

    fn source_name(&self, from: &str, scope: &Environment) -> Result<String, Failure> {
        let expanded = self.lexer.process_word(from, scope)?;
        if let Some(name) = expanded.unmatched.first() {
            let known: Vec<&str> = scope.keys().collect();
            let message = format!(
                "the variable {name} of from={from} is no argument of the stage and none before the first FROM"
            );
            return Err(Failure::new(message).suggest(name, &known));
        }
        if expanded.text.is_empty() {
            return Err(Failure::new(format!("from={from} names nothing")));
        }
        Ok(expanded.text)
    }

    fn copy_source(
        &mut self,
        from: &str,
        ranges: &[Range],
        scope: Option<&Environment>,
    ) -> Result<usize, Failure> {
        let expanded;
        let from = match scope {
            Some(scope) => {
                expanded = self.source_name(from, scope).map_err(|failure| failure.at(ranges))?;
                &expanded
            }
            None => from,
        };
        if scope.is_none() && self.lexer.process_word(from, &NoVariables)?.text != from {
            return Err(Failure::new(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ));
        }
        match from.parse::<i64>() {
            Ok(number) => match usize::try_from(number).ok().and_then(|number| self.numbers.get(number)) {
                Some(index) => Ok(*index),
                None => Err(Failure::new(format!("invalid stage index {number}"))),
            },
            Err(_) => Ok(self.stage_or_image(from, ranges)),
        }
    }

    /// The type of a mount may be a variable, so each has a source, if only scratch.
    fn mount_source(&mut self, mount: &RawMount, scope: Option<&Environment>) -> Result<usize, Failure> {
        match scope.filter(|_| mount.names_variable) {
            Some(scope) => {
                let from = self.source_name(&mount.from, scope)?;
                Ok(self.stage_or_image(&from, &[]))
            }
            None => {
                let from = if mount.from.is_empty() { SCRATCH } else { &mount.from };
                Ok(self.stage_or_image(from, &[]))
            }
        }
    }

    fn stage_or_image(&mut self, name: &str, ranges: &[Range]) -> usize {
        if let Some(index) = self.by_name.get(&name.to_lowercase()) {
            return *index;
        }
        if name == SCRATCH
            && let Some(index) = self.scratch
        {
            self.numbers.push(index);
            return index;
        }
        let index = self.register(StageState {
            base_name: name.to_owned(),
            ranges: ranges.to_vec(),
            is_unregistered: true,
            ..StageState::default()
        });
        if name == SCRATCH {
            self.scratch = Some(index);
        }
        index
    }

    fn check_circles(&self) -> Result<(), Failure> {
        let mut visited = vec![false; self.stages.len()];
        let mut on_way = vec![false; self.stages.len()];
        for (index, stage) in self.stages.iter().enumerate() {
            let Some(places) = self.circle(index, &mut visited, &mut on_way) else { continue };
            let failure = Failure::new(format!("circular dependency detected on stage: {}", stage.name));
            return Err(places.iter().fold(failure, |failure, place| failure.at(&place.ranges)));
        }
        Ok(())
    }

    /// The places of instructions on the way from `start` back to a stage of the way.
    fn circle(
        &self,
        start: usize,
        visited: &mut [bool],
        on_way: &mut [bool],
    ) -> Option<Vec<Arc<Instruction>>> {
        if std::mem::replace(&mut visited[start], true) {
            return None;
        }
        on_way[start] = true;
        let mut way = vec![(start, 0)];
        while let Some((stage, next)) = way.pop() {
            let Some((dependency, _)) = self.stages[stage].dependencies.get(next) else {
                on_way[stage] = false;
                continue;
            };
            way.push((stage, next + 1));
            if on_way[*dependency] {
                let place = |(stage, next): &(usize, usize)| {
                    let taken = self.stages[*stage].dependencies.get(next - 1)?;
                    Some(taken.1.clone())
                };
                return Some(way.iter().filter_map(place).collect());
            }
            if !std::mem::replace(&mut visited[*dependency], true) {
                on_way[*dependency] = true;
                way.push((*dependency, 0));
            }
        }
        None
    }

    /// The target and all it is made from.
    pub(super) fn needed(&self, target: usize) -> BTreeSet<usize> {
        let (mut needed, mut rest) = (BTreeSet::new(), vec![target]);
        while let Some(index) = rest.pop() {
            if needed.insert(index) {
                let stage = &self.stages[index];
                rest.extend(stage.base);
                rest.extend(stage.dependencies.sources());
            }
        }
        needed
    }
}

impl Planned {
    fn unlinked(instruction: Instruction) -> Self {
        Self { instruction: Arc::new(instruction), sources: Vec::new(), is_trigger: false }
    }
}

/// The names that are not set, whether or not the word could be read.
fn unmatched(result: &Result<Expansion, shell::Error>) -> &BTreeSet<String> {
    match result {
        Ok(expansion) => &expansion.unmatched,
        Err(error) => &error.unmatched,
    }
}

fn is_step(instruction: &Instruction) -> bool {
    matches!(instruction.command, Command::Add(_) | Command::Copy(_) | Command::Run(_) | Command::Workdir(_))
}
