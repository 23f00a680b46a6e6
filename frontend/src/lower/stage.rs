//! One stage while it is lowered, or an image or context that an instruction names.

use std::collections::BTreeSet;
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
    pub(super) outline: Option<Box<Capture>>,
    /// The `FROM` instruction as written.
    pub(super) original: String,
    pub(super) ranges: Vec<Range>,
    /// The stage it builds on.
    pub(super) base: Option<usize>,
    /// What replaces the whole stage.
    pub(super) named_context: Option<NamedContext>,
    pub(super) platform: Option<Platform>,
    pub(super) commands: Vec<Planned>,
    /// Stages that instructions name, with the last place of each.
    pub(super) dependencies: Vec<(usize, Vec<Range>)>,

    pub(super) state: State,
    pub(super) image: ImageConfig,
    /// Of the variables in `image`, while the stage is dispatched.
    pub(super) config_places: ConfigPlaces,
    /// The config of the image it started from, unchanged.
    pub(super) base_image: Option<ImageConfig>,
    /// No image says what its layers are: it started from scratch, or from files alone.
    pub(super) is_layerless: bool,
    /// `ARG`s so far, with their values.
    pub(super) arguments: Vec<Argument>,
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

/// An instruction and the stages it names: for `COPY --from` one, for `RUN` one for each mount.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) instruction: Arc<Instruction>,
    pub(super) sources: Vec<usize>,
    pub(super) is_trigger: bool,
}
