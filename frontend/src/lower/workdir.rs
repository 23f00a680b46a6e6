//! `WORKDIR`.

use slipway_model::lexical::{absolute_text, clean_text};
use slipway_model::llb::{Node, pb};

use super::metadata::{Metadata, location};
use super::stage::StageState;
use super::{Lowering, file, history, windows};
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::Workdir;
use crate::error::Failure;
use crate::lint;

impl Lowering<'_> {
    pub(super) fn workdir(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        workdir: &Workdir,
    ) -> Result<(), Failure> {
        let Workdir(path) = workdir.expand(&mut |word| self.expand(stage, instruction, word))?;
        if !std::mem::replace(&mut stage.has_workdir, true) {
            let is_absolute = stage.plain_path(&path).is_ok_and(|path| path.starts_with('/'));
            lint::workdir_relative_path::check(instruction, &path, is_absolute, &mut self.linter);
        }
        enter(stage, &path)?;
        let folder = stage.state.folder.clone();
        if folder != "/" {
            let text = self.shown(&self.lexer, &instruction.original, &stage.state.environment);
            let metadata = Metadata::named(self.step_name(stage, &text)?);
            let mkdir = pb::FileActionMkDir {
                path: clean_text(&folder),
                mode: 0o755,
                make_parents: true,
                timestamp: self.epoch.map_or(-1, |epoch| epoch.saturating_mul(1_000_000_000)),
                ..pb::FileActionMkDir::default()
            };
            let node = file::make_folder(stage.state.output, mkdir, &stage.image.config.user, metadata);
            let node = self.graph.add(Node { locations: vec![location(&instruction.ranges)], ..node });
            stage.state.output = Some(node.output());
        }
        history::add(&mut stage.image, ["WORKDIR ", &folder].concat(), folder == "/", self.epoch);
        Ok(())
    }
}

/// A relative path continues the last; an absolute one is taken as written.
pub(super) fn enter(stage: &mut StageState, path: &str) -> Result<(), Failure> {
    let about = |failure: Failure| failure.context("normalizing workdir: normalizing working directory");
    let plain = |path: &str| match path {
        "" => Ok(String::new()),
        path => stage.plain_path(path).map_err(about),
    };
    let current = match plain(&stage.image.config.working_dir)? {
        current if current.is_empty() => "/".to_owned(),
        current if current.starts_with('/') => current,
        current => absolute_text(&current),
    };
    let folder = match plain(path)? {
        path if path.is_empty() => current,
        path if path.starts_with('/') => path,
        path => clean_text(&format!("{current}/{path}")),
    };
    stage.image.config.working_dir =
        if stage.is_windows() { windows::with_backslashes(&folder) } else { folder.clone() };
    stage.state.set_folder(&folder);
    Ok(())
}
