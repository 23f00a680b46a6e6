//! What an operation carries beside its bytes: names for progress, capabilities, places.

use slipway_model::llb::pb;

use crate::dockerfile::Range;
use crate::error::wire_ranges;

/// The original instruction, for tools that compare builds with Dockerfiles.
const COMMAND: &str = "com.docker.dockerfile.v1.command";
const CUSTOM_NAME: &str = "llb.customname";

/// Builds an operation's metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata(pb::OpMetadata);

impl Metadata {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        let mut metadata = Self::default();
        metadata.0.description.insert(CUSTOM_NAME.to_owned(), name.into());
        metadata
    }

    pub(crate) fn command(mut self, text: impl Into<String>) -> Self {
        self.0.description.insert(COMMAND.to_owned(), text.into());
        self
    }

    pub(crate) fn capability(mut self, name: &str) -> Self {
        self.need(name);
        self
    }

    pub(crate) fn need(&mut self, name: &str) {
        self.0.caps.insert(name.to_owned(), true);
    }

    pub(crate) fn ignore_cache(mut self, ignore: bool) -> Self {
        self.0.ignore_cache |= ignore;
        self
    }

    /// Steps of one group are shown as one; a weak member does not decide its name.
    pub(crate) fn group(mut self, id: &str, name: &str, weak: bool) -> Self {
        self.0.progress_group = Some(pb::ProgressGroup { id: id.to_owned(), name: name.to_owned(), weak });
        self
    }

    pub(crate) fn resources(mut self, resources: Option<&pb::LinuxResources>) -> Self {
        self.0.linux_resources = resources.cloned();
        self
    }

    pub(super) fn has_resources(&self) -> bool {
        self.0.linux_resources.is_some()
    }

    pub(crate) fn finish(self) -> pb::OpMetadata {
        self.0
    }
}

/// `[internal] …`: steps that no instruction asked for.
pub(crate) fn internal(name: &str) -> Metadata {
    Metadata::named(format!("[internal] {name}"))
}

/// The place of an instruction; every definition here has one source, the Dockerfile.
pub(super) fn location(ranges: &[Range]) -> pb::Location {
    pb::Location { source_index: 0, ranges: wire_ranges(ranges) }
}
