//! What stages start from: images, scratch, named contexts, other stages.
//!
//! Registries are asked for all bases at once; what the answers mean is then worked out in the order
//! of the file, so that the graph does not depend on who answered first.

use std::collections::BTreeSet;

use futures::future::join_all;
use slipway_model::llb::{Node, NodeId};
use slipway_model::{BlobDigest, ImageConfig, Platform, Reference};

use super::metadata::{Metadata, location};
use super::source::{self, Local};
use super::stages::SCRATCH;
use super::state::{Environment, State};
use super::{Lowering, history};
use crate::error::Failure;
use crate::gateway::{ImageConfigRequest, ResolvedImage};
use crate::lint;
use crate::plan::named_context::{Loaded, NamedContext};
use slipway_model::quote::quoted;

use super::progress::format_all;

/// A folder of the client whose used paths are not known yet.
#[derive(Clone, Debug)]
pub(super) struct LateLocal {
    pub(super) node: NodeId,
    pub(super) local: Local,
    pub(super) progress_name: String,
    pub(super) paths: usize,
}

/// What was found for a base.
enum Base {
    /// Replaces the stage with all its instructions.
    Stage(Loaded),
    Context(Loaded),
    Image(ResolvedImage),
}

struct Question {
    stage: usize,
    name: Reference,
    platform: Platform,
}

impl Lowering<'_> {
    /// Resolves the bases of what `target` needs; triggers of bases may make it need more.
    pub(super) async fn resolve(&mut self, target: usize) -> Result<BTreeSet<usize>, Failure> {
        loop {
            let needed = self.needed(target);
            self.resolve_bases(&needed).await?;
            let mut grown = false;
            for index in &needed {
                self.inherit(*index, false);
                grown |= self.add_triggers(*index)?;
            }
            if !grown {
                return Ok(needed);
            }
        }
    }

    async fn resolve_bases(&mut self, needed: &BTreeSet<usize>) -> Result<(), Failure> {
        let mut questions = Vec::new();
        // Of several names that are none, the reference tends to report the last.
        let mut unreadable = None;
        for index in 0..self.stages.len() {
            let stage = &self.stages[index];
            if stage.base.is_some() || stage.is_dispatched || stage.is_resolved {
                continue;
            }
            let is_needed = self.request.all_stages || needed.contains(&index);
            self.stages[index].is_resolved = is_needed;
            if self.stages[index].base_name == SCRATCH && self.stages[index].named_context.is_none() {
                self.start_from_scratch(index);
            } else {
                match self.question(index) {
                    Ok(question) if is_needed => questions.push(question),
                    Ok(question) => self.start_unneeded(&question),
                    Err(failure) => unreadable = Some(failure.at(&self.stages[index].ranges)),
                }
            }
        }
        if let Some(failure) = unreadable {
            return Err(failure);
        }
        let answers = join_all(questions.iter().map(|question| self.ask(question))).await;
        for (question, answer) in questions.iter().zip(answers) {
            let answer = answer.and_then(|base| self.start_from(question, base));
            answer.map_err(|failure| failure.at(&self.stages[question.stage].ranges))?;
        }
        Ok(())
    }

    fn start_from_scratch(&mut self, index: usize) {
        let stage = &mut self.stages[index];
        stage.image = history::empty_image(&self.target_platform);
        stage.is_layerless = true;
        stage.platform = Some(self.target_platform.clone());
        stage.is_dispatched = stage.is_unregistered;
    }

    /// A base that nobody needs so far is not asked for. If a trigger needs the stage later, the
    /// reference has already counted a step for it, and an image that only an instruction names stays
    /// as it is: without config and digest.
    fn start_unneeded(&mut self, question: &Question) {
        let multi_platform = self.request.options.multi_platform;
        let stage = &mut self.stages[question.stage];
        stage.base_name = question.name.to_string();
        stage.platform = Some(question.platform.clone());
        let shown = multi_platform.then_some(&question.platform);
        let name = format!("FROM {}", stage.base_name);
        let name = stage.progress.name(&stage.name, &name, shown, &Environment::default());
        if !stage.is_unregistered {
            return;
        }
        stage.is_dispatched = true;
        let metadata = Metadata::named(name).command(stage.original.clone());
        let mode = &self.request.options.resolve_mode;
        let node = source::image(&stage.base_name, mode, Some(&question.platform), metadata);
        let node = self.graph.add(Node { locations: vec![location(&stage.ranges)], ..node });
        stage.state = State::new(Some(node.output()), Some(&question.platform));
    }

    fn question(&mut self, index: usize) -> Result<Question, Failure> {
        let stage = &mut self.stages[index];
        let name = &stage.base_name;
        let name = name.parse::<Reference>().map_err(|error| {
            Failure::from(error).context(format!("failed to parse stage name {}", quoted(name)))
        })?;
        // Platforms of stages that nobody needs are not looked at again.
        let platform = stage.platform.clone().unwrap_or_else(|| self.target_platform.clone());
        Ok(Question { stage: index, name: name.or_latest(), platform })
    }

    async fn ask(&self, question: &Question) -> Result<Base, Failure> {
        let (gateway, options) = (self.request.gateway, self.request.options);
        let stage = &self.stages[question.stage];
        if let Some(context) = &stage.named_context {
            return Ok(Base::Stage(context.load(gateway, options, self.request.inputs).await?));
        }
        let reference = question.name.to_string();
        let context = NamedContext::find(options, &reference, Some(&question.platform))?;
        if let Some(context) = context {
            return Ok(Base::Context(context.load(gateway, options, self.request.inputs).await?));
        }
        let prefix = if options.multi_platform {
            format!("[{} internal]", format_all(&question.platform))
        } else {
            "[internal]".to_owned()
        };
        let request = ImageConfigRequest {
            log_name: format!("{prefix} load metadata for {reference}"),
            reference,
            platform: Some(question.platform.clone()),
            resolve_mode: options.resolve_mode.clone(),
            oci_layout: None,
        };
        gateway.resolve_image_config(request).await.map(Base::Image).map_err(|error| {
            let written = &stage.base_name;
            let names = self.stage_names();
            let common = common_images();
            let all: Vec<&str> = names.into_iter().chain(common.iter().map(String::as_str)).collect();
            Failure::from(error).context(written).suggest(written, &all)
        })
    }

    fn start_from(&mut self, question: &Question, base: Base) -> Result<(), Failure> {
        let index = question.stage;
        match base {
            Base::Stage(loaded) => {
                let (state, image) = self.add_context(index, loaded)?;
                let image = image.map(|image| ImageConfig { created: None, ..image });
                let stage = &mut self.stages[index];
                stage.is_dispatched = true;
                stage.state = state;
                stage.is_layerless = image.is_none();
                stage.image.rootfs.kind.clear();
                if let Some(image) = image {
                    if !image.platform.architecture.is_empty() && !image.platform.os.is_empty() {
                        stage.platform = Some(image.platform.clone());
                    }
                    stage.image = image;
                }
            }
            Base::Context(loaded) => {
                let (mut state, image) = self.add_context(index, loaded)?;
                state.platform = Some(question.platform.normalized());
                let stage = &mut self.stages[index];
                stage.is_layerless = image.is_none();
                let image = image.unwrap_or_else(|| history::empty_image(&question.platform));
                stage.base_image = Some(image.clone());
                stage.image = ImageConfig { created: None, ..image };
                stage.state = state;
                stage.platform = Some(question.platform.clone());
            }
            Base::Image(resolved) => self.start_from_image(question, &resolved)?,
        }
        let stage = &mut self.stages[index];
        stage.is_dispatched |= stage.is_unregistered;
        Ok(())
    }

    fn start_from_image(&mut self, question: &Question, resolved: &ResolvedImage) -> Result<(), Failure> {
        let mut reference = question.name.clone();
        if reference.to_string() != resolved.reference {
            let text = &resolved.reference;
            reference = text.parse::<Reference>().map_err(|error| {
                Failure::from(error).context(format!("failed to parse ref {}", quoted(text)))
            })?;
        }
        let image = ImageConfig::parse(&resolved.config)
            .map_err(|error| Failure::from(error).context("failed to parse image config"))?;
        let options = self.request.options;
        let stage = &mut self.stages[question.stage];
        let written = std::mem::take(&mut stage.base_name);
        let mut platform = question.platform.clone();
        if stage.platform.is_none() && self.request.platform.is_none() {
            platform = detected(&image, platform, self.request.build_platform);
        }
        if let Some(digest) = resolved.digest {
            reference = reference.with_digest(BlobDigest(digest));
        }
        stage.base_name = reference.to_string();
        stage.base_image = Some(image.clone());
        stage.image = ImageConfig { created: None, ..image };
        stage.platform = Some(platform.clone());
        if has_no_layers(&stage.image) {
            stage.state = State::default();
            return Ok(());
        }
        let shown = options.multi_platform.then_some(&platform);
        let name = format!("FROM {}", stage.base_name);
        let name = stage.progress.name(&stage.name, &name, shown, &Environment::default());
        let metadata = Metadata::named(name).command(stage.original.clone());
        let node = source::image(&stage.base_name, &options.resolve_mode, Some(&platform), metadata);
        let node = self.graph.add(Node { locations: vec![location(&stage.ranges)], ..node });
        stage.state = State::new(Some(node.output()), Some(&platform));
        let actual = &stage.image.platform;
        lint::invalid_base_image_platform::check(
            &stage.ranges,
            &written,
            &platform,
            actual,
            &mut self.linter,
        );
        Ok(())
    }

    fn add_context(&mut self, index: usize, loaded: Loaded) -> Result<(State, Option<ImageConfig>), Failure> {
        match loaded {
            Loaded::Scratch => Ok((State::default(), None)),
            Loaded::Remote(node) => Ok((State::new(Some(self.graph.add(*node).output()), None), None)),
            Loaded::Local { local, progress_name } => {
                let node = self.graph.add(Node::default());
                let paths = self.stages[index].paths;
                self.late_locals.push(LateLocal { node, local, progress_name, paths });
                Ok((State::new(Some(node.output()), None), None))
            }
            Loaded::Image { mut node, config } => {
                node.op.platform.get_or_insert_with(|| (&self.target_platform).into());
                // The time is told of images that the client holds.
                let is_of_registry = source::operation_of(&node)
                    .is_some_and(|source| source.identifier.starts_with("docker-image://"));
                let state = State::new(Some(self.graph.add(*node).output()), None);
                let (state, image) = with_config(state, &config)?;
                let undated = |image| ImageConfig { created: None, ..image };
                Ok((state, if is_of_registry { image.map(undated) } else { image }))
            }
            Loaded::Input { definition, config } => {
                let state = State::new(self.graph.import(&definition)?, None);
                match config {
                    Some(config) => with_config(state, &config),
                    None => Ok((state, None)),
                }
            }
        }
    }

    /// A stage on a stage takes all over but its triggers. `last`: nobody else will; then nothing is
    /// copied, for in a long row of stages each would hold all that came before.
    pub(super) fn inherit(&mut self, index: usize, last: bool) {
        let Some(base) = self.stages[index].base else { return };
        let base = &mut self.stages[base];
        let state = State { environment: Environment::default(), ..base.state.clone() };
        let (platform, is_layerless) = (base.platform.clone(), base.is_layerless);
        let (paths, has_workdir, weight) = (base.paths, base.has_workdir, base.weight);
        let (environment, image, base_image, arguments) = if last {
            (
                std::mem::take(&mut base.state.environment),
                std::mem::take(&mut base.image),
                base.base_image.take(),
                std::mem::take(&mut base.arguments),
            )
        } else {
            (
                base.state.environment.clone(),
                base.image.clone(),
                base.base_image.clone(),
                base.arguments.clone(),
            )
        };
        let stage = &mut self.stages[index];
        stage.state = State { environment, ..state };
        stage.platform = platform;
        stage.image = image;
        stage.image.config.on_build.clear();
        stage.base_image = base_image;
        stage.is_layerless = is_layerless;
        stage.paths = paths;
        stage.has_workdir = has_workdir;
        stage.weight = weight;
        stage.arguments.extend(arguments);
    }
}

/// The variables, folder and platform of an image config.
fn with_config(mut state: State, config: &[u8]) -> Result<(State, Option<ImageConfig>), Failure> {
    let image = ImageConfig::parse(config)?;
    for variable in &image.config.env {
        let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
        if !key.is_empty() {
            state.environment.set(key, value);
        }
    }
    state.set_folder(&image.config.working_dir);
    if !image.platform.architecture.is_empty() && !image.platform.os.is_empty() {
        state.platform = Some(image.platform.normalized());
    }
    Ok((state, Some(image)))
}

/// An image of another platform that the builder runs is taken as one of that.
fn detected(image: &ImageConfig, target: Platform, build: &Platform) -> Platform {
    let is = |platform: &Platform| {
        platform.os == image.platform.os && platform.architecture == image.platform.architecture
    };
    if !is(&target) && is(build) { build.clone() } else { target }
}

fn has_no_layers(image: &ImageConfig) -> bool {
    image.rootfs.diff_ids.is_empty() && image.history.iter().all(|entry| entry.empty_layer)
}

/// Names a misspelled image may have meant, as the reference lists them.
fn common_images() -> Vec<String> {
    let names = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"];
    let forms = |name: &str| {
        [
            name.to_owned(),
            format!("docker.io/library{name}"),
            format!("{name}:latest"),
            format!("docker.io/library{name}:latest"),
        ]
    };
    names.into_iter().flat_map(forms).collect()
}
