//! From stages to operations.
//!
//! | step | file |
//! |---|---|
//! | values of arguments before the first `FROM` | `arguments` |
//! | a state for each stage, the target, what depends on what | `stages` |
//! | base images, named contexts, `ONBUILD` of bases | `base`, `trigger` |
//! | instructions, in the order of the file | `dispatch` and a file for each |
//! | what else is scanned for an SBOM | `scans` |
//! | the build context (only now its used paths are known), the image | `finish` |
//!
//! Stages that the target does not need are parsed but never resolved.

mod add;
mod arg;
mod arguments;
mod base;
mod capabilities;
mod copy;
mod dispatch;
mod env;
mod epoch;
mod exec;
pub(crate) mod file;
mod finish;
mod history;
pub(crate) mod metadata;
mod mounts;
pub(crate) mod outline;
mod period;
pub(crate) mod progress;
mod run;
mod scans;
mod settings;
pub(crate) mod source;
mod stage;
mod stages;
mod state;
mod trigger;
mod windows;
mod workdir;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slipway_model::llb::{Graph, NodeId, NodeOutput, pb};
use slipway_model::pattern::PatternMatcher;
use slipway_model::{ImageConfig, Platform};

use crate::dockerfile::shell::Lexer;
use crate::dockerfile::{self, Dockerfile, Fault, Language, Reading, directive};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::lint::{self, Finding, Linter};
use crate::plan::context::Entry;
use crate::plan::include::Files;
use crate::plan::options::Options;
use outline::{Capture, Outline};
use stage::StageState;
use state::Environment;

/// All that is the same for every instruction.
pub(crate) struct Request<'a> {
    pub(crate) gateway: &'a dyn Gateway,
    pub(crate) options: &'a Options,
    pub(crate) inputs: &'a BTreeMap<String, pb::Definition>,
    pub(crate) entry: &'a Entry,
    /// `None`: what the builder is.
    pub(crate) platform: Option<&'a Platform>,
    pub(crate) build_platform: &'a Platform,
    /// Look at stages that the target does not need, too.
    pub(crate) all_stages: bool,
    pub(crate) wants: Wanted,
    pub(crate) language: Language,
}

impl Request<'_> {
    /// The file, and in the extended language all that it includes.
    pub(crate) async fn read(&self) -> Result<Reading, Failure> {
        if !self.language.is_extended() {
            return Ok(dockerfile::read(&self.entry.data));
        }
        let Self { gateway, options, inputs, entry, language, .. } = *self;
        Files { gateway, options, inputs, entry, language }.read().await
    }
}

/// What a request is about, beside what lint finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Findings,
    Graph,
    Outline,
}

pub(crate) struct Lowered {
    /// Empty unless it was asked for.
    pub(crate) definition: Result<pb::Definition, Failure>,
    pub(crate) image: ImageConfig,
    pub(crate) base_image: Option<ImageConfig>,
    /// What layers the images have is not known: their list is null, not empty.
    pub(crate) is_layerless: bool,
    /// Seconds since 1970.
    pub(crate) epoch: Option<i64>,
    /// What an SBOM is to tell of beside the target, by name.
    pub(crate) scans: BTreeMap<String, pb::Definition>,
    /// Only if it was asked for.
    pub(crate) outline: Option<Outline>,
}

/// The graph of the target; what lint found is told even if there is none.
pub(crate) async fn lower(request: &Request<'_>) -> (Result<Lowered, Failure>, Vec<Finding>) {
    let linter = match linter(request) {
        Ok(linter) => linter,
        Err(failure) => return (Err(failure), Vec::new()),
    };
    let mut lowering = Lowering::new(request, linter);
    let result = lowering.run().await;
    (result, lowering.linter.into_findings())
}

fn linter(request: &Request<'_>) -> Result<Linter, Failure> {
    if request.entry.data.is_empty() {
        return Err(Failure::new("the Dockerfile cannot be empty"));
    }
    if let Some(config) = &request.options.lint {
        return Ok(Linter::new(config.clone()));
    }
    let directive = directive::find("check", &request.entry.data);
    let text = directive.as_ref().map(|directive| directive.first_word()).unwrap_or_default();
    let config = lint::Config::parse(text)
        .map_err(|error| Failure::from(error).context("failed to parse check options"))?;
    Ok(Linter::new(config))
}

/// Of all that a file becomes, in bytes.
const MOST_TEXT: usize = 128 << 20;

/// The state of one run over a file.
struct Lowering<'a> {
    request: &'a Request<'a>,
    graph: Graph,
    linter: Linter,
    lexer: Lexer,
    target_platform: Platform,
    /// As given, less what `SOURCE_DATE_EPOCH` removes.
    build_arguments: BTreeMap<String, String>,
    /// Arguments before the first `FROM`, and those that are always there.
    global: Environment,
    /// Keys of `ARG`s before the first `FROM`, with or without a value.
    declared: BTreeSet<String>,
    /// What an outline tells of them, if one is wanted.
    outline: Option<Capture>,
    epoch: Option<i64>,
    /// Stages in the order of the file, then images and contexts that instructions name.
    stages: Vec<StageState>,
    by_name: HashMap<String, usize>,
    /// What `--from=NUMBER` names: a place in `stages` for each stage and for each time that something else is named.
    numbers: Vec<usize>,
    /// The place of what mounts without a source name: nothing is to be kept of each.
    scratch: Option<usize>,
    /// Paths used of a filesystem; stages that build on each other share a set.
    path_sets: Vec<BTreeSet<String>>,
    /// Named folders of the client, made when their used paths are known.
    late_locals: Vec<base::LateLocal>,
    /// Made when its used paths are known, unless it is remote.
    context_node: Option<NodeId>,
    context: Option<NodeOutput>,
    ignored: Vec<String>,
    ignore_matcher: Option<PatternMatcher>,
    /// Progress groups made so far.
    groups: usize,
    /// What build arguments say of proxies.
    proxy: Option<pb::ProxyEnv>,
    /// A command is nothing at all, which only its operation cannot be.
    has_empty_command: bool,
    /// Bytes of text made of the file so far, see [`Self::spend`].
    spent: usize,
}

impl<'a> Lowering<'a> {
    fn new(request: &'a Request<'a>, linter: Linter) -> Self {
        Self {
            request,
            graph: Graph::new(),
            linter,
            lexer: Lexer::new('\\'),
            target_platform: request.platform.unwrap_or(request.build_platform).clone(),
            build_arguments: request.options.build_arguments.clone(),
            global: Environment::default(),
            declared: BTreeSet::new(),
            outline: (request.wants == Wanted::Outline).then(Capture::default),
            epoch: None,
            stages: Vec::new(),
            by_name: HashMap::new(),
            numbers: Vec::new(),
            scratch: None,
            path_sets: Vec::new(),
            late_locals: Vec::new(),
            context_node: None,
            context: None,
            ignored: Vec::new(),
            ignore_matcher: None,
            groups: 0,
            proxy: run::proxy(&request.options.build_arguments),
            has_empty_command: false,
            spent: 0,
        }
    }

    /// Counts text that a file becomes: values, names, history, the variables of each command. A small
    /// file can ask for very much of it, since every command lists all variables.
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > MOST_TEXT { Err(Fault::TooMuchText(MOST_TEXT)) } else { Ok(()) }
    }

    async fn run(&mut self) -> Result<Lowered, Failure> {
        let reading = self.request.read().await?;
        if !reading.errors.is_empty() {
            lint::check_faulty(&reading, &mut self.linter);
            return Err(Failure::of_file(reading.errors).unwrap_or_default());
        }
        let dockerfile = reading.dockerfile;
        self.lexer = Lexer::new(dockerfile.escape);
        lint::check(&dockerfile, &mut self.linter);
        if dockerfile.stages.is_empty() {
            return Err(Failure::new("dockerfile contains no stages to build"));
        }
        self.set_global_arguments(&dockerfile)?;
        self.set_epoch(&dockerfile).await?;
        self.add_stages(dockerfile)?;
        let target = self.find_target()?;
        self.link_stages()?;
        let request = self.request;
        // Neither needs the other, and both ask somebody far away.
        let ignored = request.entry.ignored(request.gateway, request.options);
        let (needed, ignored) = futures::future::join(self.resolve(target), ignored).await;
        let needed = needed?;
        self.open_context(ignored?)?;
        self.dispatch_stages(&needed, target)?;
        self.finish(target)
    }

    /// Local contexts start as a node to be replaced.
    fn open_context(&mut self, ignored: Vec<String>) -> Result<(), Failure> {
        let entry = self.request.entry;
        if entry.context.is_local() {
            self.ignored = ignored;
            if !self.ignored.is_empty() {
                self.ignore_matcher = Some(PatternMatcher::new(&self.ignored)?);
            }
            let node = self.graph.add(slipway_model::llb::Node::default());
            self.context_node = Some(node);
            self.context = Some(node.output());
        } else {
            self.context = entry.context.add_remote(&mut self.graph)?;
        }
        Ok(())
    }

    fn set_global_arguments(&mut self, dockerfile: &Dockerfile) -> Result<(), Failure> {
        let defaults = arguments::defaults(
            self.request.build_platform,
            &self.target_platform,
            &self.build_arguments,
            match self.request.options.target.as_str() {
                "" => dockerfile.stages.last().map(|stage| stage.name.as_str()).unwrap_or_default(),
                target => target,
            },
        );
        lint::invalid_default_arg_in_from::check(dockerfile, &defaults.list(), &mut self.linter);
        self.global = defaults;
        arguments::add_global(
            dockerfile,
            &self.lexer,
            &self.build_arguments,
            &mut self.global,
            self.outline.as_mut(),
        )?;
        self.declared = arguments::declared(dockerfile);
        Ok(())
    }
}
