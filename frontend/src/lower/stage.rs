//! One stage while it is lowered, or an image or context that an instruction names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use slipway_model::llb::NodeOutput;
use slipway_model::{ImageConfig, Platform};

use super::env::ConfigPlaces;
use super::outline::Capture;
use super::progress::Progress;
use super::state::State;
use crate::dockerfile::instruction::Argument;
use crate::dockerfile::{Instruction, Range};
use crate::plan::named_context::NamedContext;

#[derive(Clone, Debug, Default)]
pub(super) struct StageState {
    /// What `AS` says; empty without.
    pub(super) alias: String,
    /// What names of steps show; empty if there is but one stage.
    pub(super) name: String,
    /// Expanded, later fully qualified.
    pub(super) base_name: String,
    /// The description comment above the `FROM`.
    pub(super) doc: String,
    /// Gathered only for an outline.
    pub(super) outline: Option<Capture>,
    /// The `FROM` instruction as written.
    pub(super) original: String,
    pub(super) ranges: Vec<Range>,
    /// The stage it builds on.
    pub(super) base: Option<usize>,
    /// What replaces the whole stage.
    pub(super) named_context: Option<NamedContext>,
    pub(super) platform: Option<Platform>,
    pub(super) commands: Vec<Planned>,
    /// Stages that instructions name.
    pub(super) dependencies: Dependencies,

    pub(super) state: State,
    pub(super) image: ImageConfig,
    /// Of the variables in `image`, while the stage is dispatched.
    pub(super) config_places: ConfigPlaces,
    /// The config of the image it started from, unchanged.
    pub(super) base_image: Option<ImageConfig>,
    /// No image says what its layers are: it started from scratch, or from files alone.
    pub(super) is_layerless: bool,
    /// `ARG`s so far, with their values.
    pub(super) arguments: Arguments,
    /// Bytes of text that a stage built on this one takes over.
    pub(super) weight: usize,
    /// Used of the build context.
    pub(super) context_paths: BTreeSet<String>,
    /// Which set of used paths is its own.
    pub(super) paths: usize,
    pub(super) progress: Progress,

    pub(super) ignore_cache: bool,
    /// Not a stage of the file.
    pub(super) is_unregistered: bool,
    pub(super) is_dispatched: bool,
    pub(super) is_resolved: bool,
    pub(super) has_triggers: bool,
    /// A `WORKDIR` stood in it or below.
    pub(super) has_workdir: bool,
    pub(super) has_cmd: bool,
    /// An SBOM tells of the build context, if this is the target.
    pub(super) scans_context: bool,
    /// What an SBOM tells of beside the target.
    pub(super) scanned: Option<Option<NodeOutput>>,
}

/// Stages, each with the last instruction that names it, in order of first use.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependencies {
    list: Vec<(usize, Arc<Instruction>)>,
    places: HashMap<usize, usize>,
}

impl Dependencies {
    pub(super) fn add(&mut self, sources: &[usize], instruction: &Arc<Instruction>) {
        for source in sources {
            let place = *self.places.entry(*source).or_insert(self.list.len());
            match self.list.get_mut(place) {
                Some((_, last)) => last.clone_from(instruction),
                None => self.list.push((*source, instruction.clone())),
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&(usize, Arc<Instruction>)> {
        self.list.get(place)
    }

    pub(super) fn sources(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.list.iter().map(|(source, _)| *source)
    }
}

/// `ARG`s in order; a name may come several times.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    list: Vec<Argument>,
    names: HashSet<String>,
}

impl Arguments {
    pub(super) fn add(&mut self, argument: Argument) {
        if !self.names.contains(&argument.key) {
            self.names.insert(argument.key.clone());
        }
        self.list.push(argument);
    }

    pub(super) fn extend(&mut self, others: Self) {
        if self.list.is_empty() {
            *self = others;
            return;
        }
        for argument in others.list {
            self.add(argument);
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Argument> {
        self.list.iter()
    }
}

/// An instruction and the stages it names: for `COPY --from` one, for `RUN` one for each mount.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) instruction: Arc<Instruction>,
    pub(super) sources: Vec<usize>,
    pub(super) is_trigger: bool,
}
