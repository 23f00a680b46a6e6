//! The frontend's entry point: options in, a graph and an image config for each platform out.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;
use slipway_model::llb::pb;
use slipway_model::{Platform, Reference};

use crate::dockerfile::{Language, directive};
use crate::error::{Error, ErrorSource, Failure, wire_ranges};
use crate::gateway::{Gateway, Warning};
use crate::image::image_json;
use crate::lint::Finding;
use crate::lower::progress::format_all;
use crate::lower::{Lowered, Request, Wanted, lower};
use crate::plan::context::Entry;
use crate::plan::options::Options;
use crate::subrequest::{self, Question};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrontendResult {
    /// In the order asked for; none for a sub-request, whose answer is in `metadata`.
    pub outputs: Vec<PlatformResult>,
    /// Exporters write an index even for one platform.
    pub multi_platform: bool,
    /// As the reference returns it: image configs, platforms, the source date epoch.
    pub metadata: BTreeMap<String, Bytes>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlatformResult {
    /// `linux/amd64`.
    pub id: String,
    pub platform: Platform,
    pub definition: pb::Definition,
    /// JSON.
    pub config: Bytes,
    /// The config of the image that the target started from, unchanged.
    pub base_config: Option<Bytes>,
    /// What an SBOM is to tell of beside the result, by name.
    pub scans: BTreeMap<String, pb::Definition>,
}

/// Images that hold the reference's Dockerfile frontend.
const OWN_IMAGES: [&str; 2] = ["docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"];

/// Turns what the client asks for into graphs, for a builder that runs no frontends in images. `options` are
/// the frontend's, `inputs` graphs that the client made itself.
pub async fn build(
    gateway: &dyn Gateway,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<FrontendResult, Error> {
    let opened = open(gateway, options, inputs).await?;
    opened.refuse_other_frontend()?;
    opened.build().await
}

/// A request whose Dockerfile has been read.
pub struct Opened<'a> {
    gateway: &'a dyn Gateway,
    inputs: &'a BTreeMap<String, pb::Definition>,
    options: Options,
    entry: Entry,
    language: Language,
}

/// The frontend that a Dockerfile or its user asks for in place of this one.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherFrontend {
    /// The name of its image.
    pub image: String,
    /// All that was said after `syntax=`: the image and, maybe, words for it.
    pub command_line: String,
    /// The line that says so; none for an option of the user.
    pub source: Option<ErrorSource>,
}

/// Reads the Dockerfile. What it asks for may be another frontend ([`Opened::other_frontend`]).
pub async fn open<'a>(
    gateway: &'a dyn Gateway,
    options: &BTreeMap<String, String>,
    inputs: &'a BTreeMap<String, pb::Definition>,
) -> Result<Opened<'a>, Error> {
    let plain = |failure: Failure| failure.into_error(None);
    let options = Options::parse(options).map_err(plain)?;
    let entry = Entry::load(gateway, &options, inputs).await.map_err(plain)?;
    Ok(Opened { gateway, inputs, options, entry, language: Language::default() })
}

impl Opened<'_> {
    /// What `BUILDKIT_SYNTAX` or `# syntax=` asks for, unless the client has already followed it.
    pub fn other_frontend(&self) -> Option<OtherFrontend> {
        if self.options.text("cmdline").is_some() {
            return None;
        }
        let first_word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        if let Some(line) = self.options.text("build-arg:BUILDKIT_SYNTAX") {
            let (image, command_line) = (first_word(line.trim()), line.to_owned());
            return Some(OtherFrontend { image, command_line, source: None });
        }
        let directive = directive::detect_syntax(&self.entry.data)?;
        let source = ErrorSource { info: self.entry.info.clone(), ranges: wire_ranges(&[directive.range]) };
        let image = directive.first_word().to_owned();
        Some(OtherFrontend { image, command_line: directive.value, source: Some(source) })
    }

    /// The reference's own images are this frontend: what they do is done here.
    fn refuse_other_frontend(&self) -> Result<(), Error> {
        let Some(OtherFrontend { image, source, .. }) = self.other_frontend() else { return Ok(()) };
        let name = image.parse::<Reference>().map(|reference| reference.name()).unwrap_or_default();
        if OWN_IMAGES.contains(&name.as_str()) {
            return Ok(());
        }
        let message =
            format!("frontend image {image:?} is asked for, but frontends in images are not supported");
        let sources = source.into_iter().collect();
        Err(Error { message, sources, diagnostics: Vec::new(), unsupported: None })
    }

    /// Reads the file in another language than the reference's.
    pub fn in_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// Graphs, with this frontend.
    pub async fn build(self) -> Result<FrontendResult, Error> {
        let Self { gateway, inputs, options, entry, language } = self;
        lower_all(gateway, options, inputs, entry, language).await
    }
}

async fn lower_all(
    gateway: &dyn Gateway,
    parsed: Options,
    inputs: &BTreeMap<String, pb::Definition>,
    entry: Entry,
    language: Language,
) -> Result<FrontendResult, Error> {
    let plain = |failure: Failure| failure.into_error(None);
    let located = |failure: Failure| failure.into_error(Some(&entry.info));
    let build_platform = gateway.facts().build_platforms.first().cloned().unwrap_or_else(Platform::host);
    if let Some(id) = parsed.text("requestid") {
        let options = &parsed;
        let build_platform = &build_platform;
        let question = Question { gateway, options, inputs, entry: &entry, build_platform, language };
        return subrequest::answer(id, &question).await.map_err(plain);
    }
    let mut targets: Vec<Option<&Platform>> = parsed.platforms.iter().map(Some).collect();
    if targets.is_empty() {
        targets.push(None);
    }
    let mut result = FrontendResult { multi_platform: parsed.multi_platform, ..FrontendResult::default() };
    let mut listed = Vec::new();
    let requests: Vec<Request<'_>> = targets
        .into_iter()
        .map(|platform| Request {
            gateway,
            options: &parsed,
            inputs,
            entry: &entry,
            platform,
            build_platform: &build_platform,
            all_stages: false,
            wants: Wanted::Graph,
            language,
        })
        .collect();
    let lowered = join_all(requests.iter().map(lower)).await;
    for (index, (request, (lowered, findings))) in requests.iter().zip(lowered).enumerate() {
        // The same file gives the same warnings for each platform.
        if index == 0 {
            warn(gateway, &entry, &findings).await;
        }
        let platform = request.platform.unwrap_or(&build_platform).normalized();
        let lowered = lowered.map_err(located)?;
        let of_image = with_version(&platform, &lowered.image.platform);
        listed.push(json!({"ID": format_all(&platform), "Platform": of_image}));
        result.add(platform, lowered).map_err(plain)?;
    }
    let platforms = json!({"Platforms": listed}).to_string();
    result.metadata.insert("refs.platforms".to_owned(), platforms.into());
    Ok(result)
}

/// Windows runs only images of its own version, which the base image tells where the user did not.
fn with_version(asked: &Platform, image: &Platform) -> Platform {
    let mut platform = asked.clone();
    if asked.os == "windows" && image.os == asked.os {
        if platform.os_version.is_empty() {
            platform.os_version.clone_from(&image.os_version);
        }
        if platform.os_features.is_empty() {
            platform.os_features.clone_from(&image.os_features);
        }
    }
    platform.normalized()
}

impl FrontendResult {
    fn add(&mut self, platform: Platform, lowered: Lowered) -> Result<(), Failure> {
        let id = format_all(&platform);
        let json = |image| image_json(image, lowered.is_layerless);
        let config = json(&lowered.image)?;
        let base_config = lowered.base_image.as_ref().map(json).transpose()?;
        let key = |name: &str| if self.multi_platform { format!("{name}/{id}") } else { name.to_owned() };
        let mut metadata = vec![(key("containerimage.config"), config.clone())];
        if let Some(base) = &base_config {
            metadata.push((key("containerimage.base.config"), base.clone()));
        }
        if let Some(epoch) = lowered.epoch {
            metadata.push((key("source.date.epoch"), epoch.to_string().into()));
        }
        self.metadata.extend(metadata);
        let definition = lowered.definition;
        let definition = definition.map_err(|failure| failure.context("failed to marshal LLB definition"))?;
        let scans = lowered.scans;
        let output = PlatformResult { id, platform, definition, config, base_config, scans };
        self.outputs.push(output);
        Ok(())
    }
}

async fn warn(gateway: &dyn Gateway, entry: &Entry, findings: &[Finding]) {
    for finding in findings {
        let warning = Warning {
            level: 1,
            short: finding.short(),
            detail: vec![finding.rule.description.to_owned()],
            url: finding.rule.url.to_owned(),
            info: Some(entry.info.clone()),
            ranges: wire_ranges(&finding.ranges),
            vertex: entry.vertex,
        };
        gateway.warn(warning).await;
    }
}
