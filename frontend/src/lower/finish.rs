//! The last step: the build context with the paths that were used, and the image.

use super::metadata::{Metadata, internal};
use super::source::Local;
use super::{Lowered, Lowering, Wanted};
use crate::error::Failure;
use crate::plan::context::MainContext;
use slipway_model::llb::pb;
use std::collections::BTreeSet;

impl Lowering<'_> {
    pub(super) fn finish(&mut self, target: usize) -> Result<Lowered, Failure> {
        // All of the target is exported.
        let paths = self.stages[target].paths;
        self.path_sets[paths].insert("/".to_owned());
        for (key, value) in &self.request.options.labels {
            self.stages[target].image.config.labels.insert(key.clone(), value.clone());
        }
        self.linter.verdict()?;
        self.place_context();
        self.place_late_locals();
        self.set_platform(target);
        let outline = self.outline.is_some().then(|| self.outline(target));
        let scans = self.scans(target);
        let definition = match self.request.wants {
            Wanted::Graph => self.definition(target),
            Wanted::Findings | Wanted::Outline => Ok(pb::Definition::default()),
        };
        let stage = &mut self.stages[target];
        Ok(Lowered {
            definition,
            image: std::mem::take(&mut stage.image),
            base_image: stage.base_image.take(),
            is_layerless: stage.is_layerless,
            epoch: self.epoch,
            scans,
            outline,
        })
    }

    fn definition(&mut self, target: usize) -> Result<pb::Definition, Failure> {
        if self.has_empty_command {
            return Err(Failure::new("arguments are required"));
        }
        let infos = [self.request.entry.info.clone()];
        Ok(std::mem::take(&mut self.graph).into_definition(self.stages[target].state.output, &infos))
    }

    fn place_context(&mut self) {
        let (Some(node), MainContext::Local(name)) = (self.context_node, &self.request.entry.context) else {
            return;
        };
        let used = self.stages.iter().flat_map(|stage| stage.context_paths.iter().cloned()).collect();
        let session = &self.request.gateway.facts().session_id;
        let local = Local {
            name: name.clone(),
            session: self.request.options.session(name, session).to_owned(),
            shared_key: name.clone(),
            follow: follow_paths(&used),
            excludes: self.ignored.clone(),
            no_differ: false,
        };
        self.graph.replace(node, local.node(internal("load build context")));
    }

    fn place_late_locals(&mut self) {
        for late in std::mem::take(&mut self.late_locals) {
            let follow = follow_paths(&self.path_sets[late.paths]);
            let local = Local { follow, ..late.local };
            self.graph.replace(late.node, local.node(Metadata::named(late.progress_name)));
        }
    }

    /// Who asked for a platform gets an image of it, whatever the base says.
    fn set_platform(&mut self, target: usize) {
        let image = &mut self.stages[target].image.platform;
        if let Some(asked) = self.request.platform {
            let same = asked.os == image.os && asked.architecture == image.architecture;
            image.os.clone_from(&asked.os);
            image.architecture.clone_from(&asked.architecture);
            if !asked.variant.is_empty() || !same {
                image.variant.clone_from(&asked.variant);
            }
            if !asked.os_version.is_empty() || !same {
                image.os_version.clone_from(&asked.os_version);
            }
            if !asked.os_features.is_empty() {
                image.os_features.clone_from(&asked.os_features);
            }
        }
        *image = image.normalized();
    }
}

/// Relative and sorted; empty (which means all) if all or nothing is used.
fn follow_paths(used: &BTreeSet<String>) -> Vec<String> {
    if used.contains("/") {
        return Vec::new();
    }
    let mut paths: Vec<String> = used.iter().map(|path| path.trim_start_matches('/').to_owned()).collect();
    paths.sort();
    paths
}
