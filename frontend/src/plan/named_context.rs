//! `--build-context name=…`: a source that stands in for a stage or an image of that name.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::llb::{Node, pb};
use slipway_model::{BlobDigest, Platform, Reference};

use super::context::{definition_of, git_source};
use super::ignore;
use super::options::Options;
use crate::error::Failure;
use crate::gateway::{Gateway, GatewayError, ImageConfigRequest, OciLayout};
use crate::lower::metadata::Metadata;
use crate::lower::progress::format_all;
use crate::lower::source::{self, GitOptions, Local};
use slipway_model::quote::quoted;

const IGNORE_FILE: &str = ".dockerignore";
/// How often a policy may put another source in the place of a context.
const MOST_REPLACED: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct NamedContext {
    input: String,
    name: String,
    /// `name` or `name::platform`, as the option has it.
    key: String,
    shared_key: String,
    platform: Option<Platform>,
}

/// What comes of one attempt to load a context.
enum Outcome {
    Loaded(Box<Loaded>),
    /// A policy wants this source in the place of the image.
    Replaced(String),
}

/// A context with all that had to be asked for.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Scratch,
    /// With an image config, whose variables and folder the context brings along.
    Image {
        node: Box<Node>,
        config: Bytes,
    },
    Remote(Box<Node>),
    /// Which of its files are used is known only later.
    Local {
        local: Local,
        progress_name: String,
    },
    Input {
        definition: pb::Definition,
        config: Option<Bytes>,
    },
}

impl NamedContext {
    /// The context of that name, for `platform` foremost. `scratch` and `context` are never replaced.
    pub(crate) fn find(
        options: &Options,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<Self>, Failure> {
        if matches!(name.to_lowercase().as_str(), "scratch" | "context") {
            return Ok(None);
        }
        let reference: Reference = name
            .parse()
            .map_err(|error| Failure::from(error).context(format!("invalid context name {name}")))?;
        let familiar = reference.familiar();
        let name = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        let host = Platform::host();
        let for_platform = format!("{name}::{}", format_all(&platform.unwrap_or(&host).normalized()));
        for key in [for_platform, name.to_owned()] {
            if let Some(input) = options.text(&format!("context:{key}")) {
                return Ok(Some(Self {
                    input: input.to_owned(),
                    name: name.to_owned(),
                    shared_key: options
                        .text(&format!("sharedkey:localdir:{key}"))
                        .unwrap_or_default()
                        .to_owned(),
                    key,
                    platform: platform.cloned(),
                }));
            }
        }
        Ok(None)
    }

    pub(crate) async fn load(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
        inputs: &BTreeMap<String, pb::Definition>,
    ) -> Result<Loaded, Failure> {
        let mut context = self.clone();
        for _ in 0..MOST_REPLACED {
            match context.load_once(gateway, options, inputs).await? {
                Outcome::Loaded(loaded) => return Ok(*loaded),
                Outcome::Replaced(instead) => context.input = instead.replacen("://", ":", 1),
            }
        }
        Err(Failure::new(format!(
            "policies replace the context {} more than {MOST_REPLACED} times",
            self.key
        )))
    }

    async fn load_once(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
        inputs: &BTreeMap<String, pb::Definition>,
    ) -> Result<Outcome, Failure> {
        let Some((kind, rest)) = self.input.split_once(':') else {
            return Err(Failure::new(format!("invalid context specifier {} for {}", self.input, self.key)));
        };
        let loaded = match kind {
            "docker-image" => {
                return self.load_image(gateway, options, rest.strip_prefix("//").unwrap_or(rest)).await;
            }
            kind if kind == "git" || kind.starts_with("git@") => {
                let node = git_source(&self.input, GitOptions::default())?
                    .ok_or_else(|| Failure::new(format!("invalid git context {}", self.input)))?;
                Ok(Loaded::Remote(Box::new(node)))
            }
            "http" | "https" => {
                let node = match git_source(&self.input, GitOptions::default())? {
                    Some(node) => node,
                    None => source::http(&self.input, "context", "", self.metadata(&self.input)),
                };
                Ok(Loaded::Remote(Box::new(node)))
            }
            "oci-layout" => {
                self.load_oci_layout(gateway, options, rest.strip_prefix("//").unwrap_or(rest)).await
            }
            "local" => self.load_local(gateway, options, rest).await,
            "input" => self.load_input(options, inputs, rest),
            kind => Err(Failure::new(format!("unsupported context source {kind} for {}", self.key))),
        };
        Ok(Outcome::Loaded(Box::new(loaded?)))
    }

    fn metadata(&self, text: &str) -> Metadata {
        Metadata::named(format!("[context {}] {text}", self.key))
    }

    async fn load_image(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
        reference: &str,
    ) -> Result<Outcome, Failure> {
        if reference == "scratch" {
            return Ok(Outcome::Loaded(Box::new(Loaded::Scratch)));
        }
        let named = reference.parse::<Reference>()?.or_latest();
        let request = ImageConfigRequest {
            reference: named.to_string(),
            platform: self.platform.clone(),
            resolve_mode: options.resolve_mode.clone(),
            log_name: format!("[context {}] load metadata for {reference}", self.key),
            oci_layout: None,
        };
        let resolved = match gateway.resolve_image_config(request).await {
            Err(GatewayError::Replaced { instead, .. }) => return Ok(Outcome::Replaced(instead)),
            resolved => resolved?,
        };
        let metadata = self.metadata(reference);
        let node = source::image(&resolved.reference, "default", self.platform.as_ref(), metadata);
        Ok(Outcome::Loaded(Box::new(Loaded::Image { node: Box::new(node), config: resolved.config })))
    }

    async fn load_oci_layout(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
        text: &str,
    ) -> Result<Loaded, Failure> {
        let about = |failure: Failure| {
            failure.context(format!("could not parse oci-layout reference {}", quoted(text)))
        };
        let (store, digest) = text.split_once('@').unwrap_or((text, ""));
        let store =
            store.rsplit_once(':').map_or(store, |(name, tag)| if tag.contains('/') { store } else { name });
        if digest.is_empty() {
            return Err(Failure::new(format!("oci-layout reference {} has no digest", quoted(text))));
        }
        let digest = digest.parse().map_err(|_| about(Failure::new("invalid reference format")))?;
        let reference: Reference = self.name.parse().map_err(|error| about(Failure::from(error)))?;
        let reference = reference.with_digest(BlobDigest(digest)).to_string();
        let session_id = gateway.facts().session_id.clone();
        let resolved = gateway
            .resolve_image_config(ImageConfigRequest {
                reference: reference.clone(),
                platform: self.platform.clone(),
                resolve_mode: options.resolve_mode.clone(),
                log_name: format!("[context {}] load metadata for {reference}", self.key),
                oci_layout: Some(OciLayout { session_id: session_id.clone(), store_id: store.to_owned() }),
            })
            .await?;
        let metadata = self.metadata("OCI load from client");
        let platform = self.platform.as_ref();
        let node = source::oci_layout(&reference, &session_id, store, platform, metadata);
        Ok(Loaded::Image { node: Box::new(node), config: resolved.config })
    }

    async fn load_local(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
        name: &str,
    ) -> Result<Loaded, Failure> {
        let session = options.session(name, &gateway.facts().session_id).to_owned();
        let ignore_file = Local {
            name: name.to_owned(),
            session: session.clone(),
            shared_key: format!("context:{}-{IGNORE_FILE}", self.key),
            follow: vec![IGNORE_FILE.to_owned()],
            no_differ: true,
            ..Local::default()
        };
        let definition = definition_of(ignore_file.node(self.metadata(&format!("load {IGNORE_FILE}"))));
        let file = gateway.read_file(&definition, IGNORE_FILE).await.ok().flatten().unwrap_or_default();
        let excludes = ignore::read(&file)
            .map_err(|error| Failure::from(error).context(format!("failed parsing {IGNORE_FILE}")))?;
        let shared_key = format!("context:{}-{}", self.key, self.shared_key);
        let local = Local { name: name.to_owned(), session, shared_key, excludes, ..Local::default() };
        let progress_name = format!("[context {}] load from client", self.key);
        Ok(Loaded::Local { local, progress_name })
    }

    fn load_input(
        &self,
        options: &Options,
        inputs: &BTreeMap<String, pb::Definition>,
        name: &str,
    ) -> Result<Loaded, Failure> {
        let definition = inputs
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::new(format!("invalid input {name} for {}", self.key)))?;
        let config = match options.text(&format!("input-metadata:{name}")) {
            Some(text) => input_config(text)
                .map_err(|failure| failure.context(format!("failed to parse input metadata {text}")))?,
            None => None,
        };
        Ok(Loaded::Input { definition, config })
    }
}

/// A JSON object of base64 texts; the image config is one of them.
fn input_config(text: &str) -> Result<Option<Bytes>, Failure> {
    use base64::Engine;
    let metadata: BTreeMap<String, String> = serde_json::from_str(text)?;
    let Some(config) = metadata.get("containerimage.config") else { return Ok(None) };
    Ok(Some(base64::engine::general_purpose::STANDARD.decode(config)?.into()))
}
