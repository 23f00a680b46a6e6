//! `SOURCE_DATE_EPOCH`: one time for all that a build would date.
//!
//! A number of seconds, or the name of a source that has a time: `context`, a named context, or a stage
//! that only adds one remote source.

use slipway_model::llb::pb;

use super::Lowering;
use super::add::{checked, is_http, url_file_name};
use super::copy::as_git;
use super::metadata::Metadata;
use super::source::{self, GitOptions};
use super::stages::SCRATCH;
use super::state::Environment;
use crate::dockerfile::instruction::{Add, Arg};
use crate::dockerfile::{Command, Dockerfile, Stage};
use crate::error::Failure;
use crate::plan::named_context::{Loaded, NamedContext};

const KEY: &str = "SOURCE_DATE_EPOCH";

impl Lowering<'_> {
    pub(super) async fn set_epoch(&mut self, dockerfile: &Dockerfile) -> Result<(), Failure> {
        let given = self.build_arguments.get(KEY).cloned();
        let global = || self.global.value(KEY).filter(|value| !value.is_empty()).map(str::to_owned);
        let Some(value) = given.or_else(global) else { return Ok(()) };
        self.epoch = match value.parse::<i64>() {
            Ok(seconds) => Some(seconds),
            Err(_) if value.is_empty() => None,
            Err(_) => self.epoch_of_source(&value, dockerfile).await?,
        };
        match self.epoch {
            Some(epoch) => {
                if let Some(argument) = self.build_arguments.get_mut(KEY) {
                    *argument = epoch.to_string();
                }
                if self.global.value(KEY).is_some() {
                    self.global.set(KEY, epoch.to_string());
                }
            }
            None => {
                self.build_arguments.remove(KEY);
                self.global.remove(KEY);
            }
        }
        Ok(())
    }

    async fn epoch_of_source(&self, name: &str, dockerfile: &Dockerfile) -> Result<Option<i64>, Failure> {
        let (gateway, options) = (self.request.gateway, self.request.options);
        if name == "context" {
            let log_name = "[internal] resolve main build context metadata";
            return self.time_of(self.request.entry.context.timed_source(), log_name).await;
        }
        if let Some(context) = NamedContext::find(options, name, None)? {
            let log_name = format!("[internal] resolve SOURCE_DATE_EPOCH named context {name}");
            return match context.load(gateway, options, self.request.inputs).await? {
                Loaded::Remote(node) => self.time_of(source::operation_of(&node), &log_name).await,
                _ => Ok(None),
            };
        }
        let lower = name.to_lowercase();
        let Some(stage) = dockerfile.stages.iter().find(|stage| stage.name.to_lowercase() == lower) else {
            return Err(Failure::new(format!("invalid SOURCE_DATE_EPOCH: {name}")));
        };
        let source = self.only_source(stage).map_err(|failure| failure.at(&stage.ranges))?;
        let log_name = format!("[internal] resolve SOURCE_DATE_EPOCH source stage {}", stage.name);
        self.time_of(Some(&source), &log_name).await
    }

    async fn time_of(&self, source: Option<&pb::SourceOp>, log_name: &str) -> Result<Option<i64>, Failure> {
        match source {
            Some(source) => Ok(self.request.gateway.source_time(source, log_name).await?),
            None => Ok(None),
        }
    }

    fn only_source(&self, stage: &Stage) -> Result<pb::SourceOp, Failure> {
        let mut environment = self.global.clone();
        environment.remove(KEY);
        if self.lexer.process_word(&stage.from.base, &environment)?.text != SCRATCH {
            return Err(Failure::new("SOURCE_DATE_EPOCH stage must use FROM scratch"));
        }
        let one = || Failure::new("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
        let mut found = None;
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Arg(arg) => self.add_arguments(arg, &mut environment)?,
                Command::Add(_) if found.is_some() => return Err(one()),
                Command::Add(add) => found = Some(self.added_source(add, &environment)?),
                _ => {
                    return Err(Failure::new(format!(
                        "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported {} instruction",
                        instruction.keyword
                    )));
                }
            }
        }
        found.ok_or_else(one)
    }

    pub(super) fn add_arguments(&self, arg: &Arg, environment: &mut Environment) -> Result<(), Failure> {
        for argument in &arg.0 {
            let value = match (self.build_arguments.get(&argument.key), &argument.value) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => self.lexer.process_word(default, environment)?.text,
                (None, None) => continue,
            };
            environment.set(&argument.key, value);
        }
        Ok(())
    }

    fn added_source(&self, add: &Add, environment: &Environment) -> Result<pb::SourceOp, Failure> {
        let ([path], []) = (&add.sources.paths[..], &add.sources.contents[..]) else {
            return Err(Failure::new("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source"));
        };
        let path = self.lexer.process_word(path, environment)?.text;
        let checksum = self.lexer.process_word(&add.checksum, environment)?.text;
        let node = if is_http(&path) {
            source::http(&path, &url_file_name(&path), &checked(&checksum)?, Metadata::default())
        } else if let Some(repository) = as_git(&path)? {
            let options = GitOptions {
                keep_git_folder: add.keep_git_dir == Some(true) || repository.keep_git_dir == Some(true),
                checksum: if checksum.is_empty() { repository.checksum.clone() } else { checksum },
                modified: None,
            };
            source::git(&repository, &options, Metadata::default())
        } else {
            return Err(Failure::new("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD"));
        };
        source::operation_of(&node).cloned().ok_or_else(|| Failure::new("the source has no operation"))
    }
}
