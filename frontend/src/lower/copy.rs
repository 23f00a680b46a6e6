//! `COPY`, and what it shares with `ADD`: one operation per instruction, one copy per source.

use slipway_model::lexical::{absolute_text, clean_text};
use slipway_model::llb::{Node, NodeOutput, pb};
use slipway_model::pattern::glob;

use super::file::{self, CopyAction, plain_copy};
use super::history::add_layer;
use super::metadata::{Metadata, location};
use super::stage::{Planned, StageState};
use super::{Lowering, period};
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::{CacheControl, Chmod, Copy, Sources};
use crate::error::Failure;
use crate::lint;
use crate::plan::git_url::GitReference;
use slipway_model::quote::quoted;

/// What `COPY` and `ADD` have in common, variables expanded.
pub(super) struct Transfer<'a> {
    pub(super) instruction: &'a Instruction,
    pub(super) sources: Sources,
    pub(super) chown: String,
    pub(super) chmod: String,
    pub(super) excludes: Vec<String>,
    pub(super) link: bool,
    pub(super) parents: bool,
    pub(super) cache: CacheControl,
    /// The files' tree; `None` is scratch.
    pub(super) from: Option<NodeOutput>,
    /// `from` is the build context, and `.dockerignore` counts.
    pub(super) is_context: bool,
    /// Only for `ADD`.
    pub(super) remote: Option<super::add::Remote>,
}

/// An instruction that is being put together.
pub(super) struct Copying<'a> {
    pub(super) transfer: Transfer<'a>,
    pub(super) destination: String,
    /// The step's name.
    pub(super) name: String,
    template: pb::FileActionCopy,
    pub(super) actions: Vec<CopyAction>,
}

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        stage: &mut StageState,
        planned: &Planned,
        copy: &Copy,
    ) -> Result<(), Failure> {
        let instruction = &planned.instruction;
        let copy = copy.expand(&mut |word| self.expand(stage, instruction, word))?;
        let sources = copy.sources.expand_contents(&mut |body| self.expand_body(stage, instruction, body))?;
        let source = planned.sources.first().copied();
        let from = match source {
            Some(source) if !self.stages[source].is_dispatched => {
                return Err(Failure::new(format!(
                    "cannot copy from stage {}, it needs to be defined before current stage {}",
                    quoted(&copy.from),
                    quoted(&stage.name)
                )));
            }
            Some(source) => self.stages[source].state.output,
            None => self.context,
        };
        let used: Vec<String> = sources.paths.iter().map(|path| absolute_text(path)).collect();
        self.transfer(
            stage,
            Transfer {
                instruction,
                sources,
                chown: copy.chown,
                chmod: copy.chmod,
                excludes: copy.excludes,
                link: copy.link,
                parents: copy.parents,
                cache: copy.cache,
                from,
                is_context: source.is_none(),
                remote: None,
            },
        )?;
        match source {
            Some(source) => {
                let paths = self.stages[source].paths;
                self.path_sets[paths].extend(used);
            }
            None => stage.context_paths.extend(used),
        }
        Ok(())
    }

    pub(super) fn transfer(&mut self, stage: &mut StageState, transfer: Transfer<'_>) -> Result<(), Failure> {
        let template = template(&transfer)?;
        super::add::check_checksum(&transfer)?;
        let text = self.shown(&self.lexer, &transfer.instruction.original, &stage.state.environment);
        let before = stage.progress;
        let name = self.step_name(stage, &text)?;
        let destination =
            destination(&stage.state.folder, &destination_of(stage, &transfer.sources.destination)?);
        let mut copying = Copying { destination, name, template, actions: Vec::new(), transfer };
        let paths = std::mem::take(&mut copying.transfer.sources.paths);
        for path in &paths {
            if self.add_remote(&mut copying, path)? {
                continue;
            }
            self.add_local(&mut copying, stage, path)?;
        }
        copying.transfer.sources.paths = paths;
        self.add_bodies(&mut copying, stage)?;
        let history = history_text(&copying.transfer);
        self.write_copies(stage, copying, &text, before)?;
        add_layer(&mut stage.image, &history, self.epoch);
        Ok(())
    }

    /// Files of the context, a stage, or an image.
    fn add_local(
        &mut self,
        copying: &mut Copying<'_>,
        stage: &StageState,
        path: &str,
    ) -> Result<(), Failure> {
        let transfer = &copying.transfer;
        if let Some(matcher) = self.ignore_matcher.as_ref().filter(|_| transfer.is_context) {
            // A pattern that cannot be matched hides nothing; the reference drops the error as well.
            if self.linter.may_compare(self.ignored.len()) {
                let _ = lint::copy_ignored_file::check(transfer.instruction, path, matcher, &mut self.linter);
            }
        }
        let mut source = path.to_owned();
        let (mut patterns, mut required) = (Vec::new(), Vec::new());
        if transfer.parents {
            let (parent, pattern) = match path.split_once("/./") {
                Some((parent, pattern)) => (parent.to_owned(), pattern),
                None => ("/".to_owned(), path),
            };
            let pattern = rooted(&stage.plain_path(pattern)?);
            patterns.push(pattern.trim_start_matches('/').to_owned());
            if !glob::has_wildcards(parent.as_bytes()) && !glob::has_wildcards(pattern.as_bytes()) {
                required.push(rooted(&clean_text(&format!("{parent}/{pattern}"))));
            }
            source = parent;
        }
        let unpack = transfer.remote.as_ref().is_some_and(|remote| remote.unpack.unwrap_or(true));
        let copy = pb::FileActionCopy {
            src: absolute_text(&stage.plain_path(&source)?),
            follow_symlink: true,
            dir_copy_contents: true,
            attempt_unpack_docker_compatibility: unpack,
            allow_wildcard: true,
            allow_empty_wildcard: true,
            include_patterns: patterns,
            required_paths: required,
            ..copying.template()
        };
        copying.actions.push(CopyAction { from: copying.transfer.from, copy });
        Ok(())
    }

    /// Heredocs: files on a scratch of their own.
    fn add_bodies(&mut self, copying: &mut Copying<'_>, stage: &StageState) -> Result<(), Failure> {
        let contents = std::mem::take(&mut copying.transfer.sources.contents);
        for content in &contents {
            let path = stage.plain_path(&content.path)?;
            let file = self.graph.add(file::inline_file(&path, 0o644, content.data.clone()));
            copying.push(file.output(), &format!("/{path}"), false);
        }
        copying.transfer.sources.contents = contents;
        Ok(())
    }

    /// `--link` copies to a layer of its own that does not depend on the base. A mode given by hand
    /// keeps the plain copy, as in the reference.
    fn write_copies(
        &mut self,
        stage: &mut StageState,
        copying: Copying<'_>,
        text: &str,
        before: super::progress::Progress,
    ) -> Result<(), Failure> {
        let Copying { transfer, name, actions, .. } = copying;
        let no_cache = stage.ignore_cache || transfer.cache.no_cache;
        let period = self.period(transfer.cache);
        let metadata = Metadata::named(&name).ignore_cache(no_cache);
        let locations = vec![location(&transfer.instruction.ranges)];
        if !transfer.link || !transfer.chmod.is_empty() {
            let mut node = file::copies(stage.state.output, actions, &transfer.chown, metadata);
            period::limit(&mut node, period);
            stage.state.output = Some(self.graph.add(Node { locations, ..node }).output());
            return Ok(());
        }
        let group = self.group_id();
        let weak = metadata.clone().group(&group, &name, true);
        let mut node = file::copies(None, actions, &transfer.chown, weak);
        period::limit(&mut node, period);
        let layer = self.graph.add(Node { locations: locations.clone(), ..node }).output();
        stage.progress = before;
        let linked = self.step_name(stage, &format!("LINK {text}"))?;
        let Some(base) = stage.state.output else {
            stage.state.output = Some(layer);
            return Ok(());
        };
        let metadata = Metadata::named(linked).ignore_cache(no_cache).group(&group, &name, false);
        let node = file::merge(base, layer, metadata);
        stage.state.output = Some(self.graph.add(Node { locations, ..node }).output());
        Ok(())
    }

    /// Groups the two steps of one instruction. Only equality counts, but definitions for several
    /// platforms are shown together, so their groups must differ.
    fn group_id(&mut self) -> String {
        self.groups += 1;
        format!("link-{}-{}", self.target_platform, self.groups)
    }
}

impl Copying<'_> {
    fn template(&self) -> pb::FileActionCopy {
        pb::FileActionCopy { dest: self.destination.clone(), ..self.template.clone() }
    }

    /// A copy of one thing that was made for this instruction.
    pub(super) fn push(&mut self, from: NodeOutput, path: &str, unpack: bool) {
        let copy = pb::FileActionCopy {
            src: clean_text(path),
            attempt_unpack_docker_compatibility: unpack,
            ..self.template()
        };
        self.actions.push(CopyAction { from: Some(from), copy });
    }
}

fn template(transfer: &Transfer<'_>) -> Result<pb::FileActionCopy, Failure> {
    let mut copy = pb::FileActionCopy {
        create_dest_path: true,
        exclude_patterns: transfer.excludes.clone(),
        ..plain_copy(String::new(), "")
    };
    if !transfer.chmod.is_empty() {
        match Chmod::parse(&transfer.chmod)? {
            Chmod::Absolute(mode) => copy.mode = mode.cast_signed(),
            Chmod::Symbolic(changes) => {
                copy.mode = 0;
                copy.mode_str = changes;
            }
        }
    }
    Ok(copy)
}

/// The current folder has a meaning of its own.
fn destination_of(stage: &StageState, written: &str) -> Result<String, Failure> {
    match written {
        "" | "." => Ok(written.to_owned()),
        written => stage.plain_path(written),
    }
}

/// Relative to the stage's folder. A `/` or `/.` at the end says that it is a folder.
fn destination(folder: &str, written: &str) -> String {
    let written = if matches!(written, "." | "") { "./" } else { written };
    let path = if written.starts_with('/') {
        clean_text(written)
    } else {
        absolute_text(&[folder, "/", written].concat())
    };
    if written.ends_with('/') && path != "/" {
        format!("{path}/")
    } else if written.ends_with("/.") {
        if path == "/" { "/.".to_owned() } else { format!("{path}/.") }
    } else {
        path
    }
}

/// Absolute; an absolute path stays as written.
fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { absolute_text(path) }
}

fn history_text(transfer: &Transfer<'_>) -> String {
    let mut text = if transfer.remote.is_some() { "ADD" } else { "COPY" }.to_owned();
    if transfer.parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
        if !value.is_empty() {
            text.extend([" --", flag, "=", value]);
        }
    }
    for path in &transfer.sources.paths {
        text.extend([" ", path]);
    }
    for content in &transfer.sources.contents {
        text.extend([" <<", &content.path]);
    }
    text.extend([" ", &transfer.sources.destination]);
    text
}

/// The repository that a source names; a path is none.
pub(super) fn as_git(path: &str) -> Result<Option<GitReference>, Failure> {
    match GitReference::parse(path) {
        Ok(reference) if !reference.could_be_local => Ok(Some(reference)),
        Ok(_) => Ok(None),
        Err(error) if error.is_of_git() => Err(error.into()),
        Err(_) => Ok(None),
    }
}
