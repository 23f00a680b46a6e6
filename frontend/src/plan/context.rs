//! Where the Dockerfile and the main build context come from.
//!
//! Both are folders of the client, unless the client names a git repository or a URL, or hands in
//! graphs of its own. Reading the Dockerfile is a small build of its own: a local source that
//! sends only the files that matter here.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::lock::Mutex;
use slipway_model::lexical::clean_text;
use slipway_model::llb::{Graph, Node, NodeOutput, VertexDigest, pb};

use super::git_url::{GitReference, Modified};
use super::ignore;
use super::options::Options;
use crate::dockerfile::values::parse_bool;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::lower::file;
use crate::lower::metadata::{Metadata, internal};
use crate::lower::source::{self, GitOptions, Local};

const DOCKERFILE: &str = "Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";
/// What a downloaded context is called.
const HTTP_FILE: &str = "context";

/// The file to build and what it may use.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) data: Bytes,
    pub(crate) info: pb::SourceInfo,
    /// The step that loaded the file.
    pub(crate) vertex: Option<VertexDigest>,
    pub(crate) context: MainContext,
    /// `Dockerfile.dockerignore` and its name, if there is one.
    own_ignore: Option<(Bytes, String)>,
    /// The common one is read once for all platforms, and only if a build gets that far.
    common_ignore: Mutex<Option<Bytes>>,
}

#[derive(Clone, Debug)]
pub(crate) enum MainContext {
    /// The name of a folder of the client.
    Local(String),
    Remote {
        source: Remote,
        folder: Option<String>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Remote {
    Git(Box<Node>),
    Http(Box<Node>),
    Archive(Box<Node>),
    Input(pb::Definition),
}

impl MainContext {
    async fn find(
        gateway: &dyn Gateway,
        options: &Options,
        inputs: &BTreeMap<String, pb::Definition>,
    ) -> Result<Self, Failure> {
        let key = options.text("contextkey").unwrap_or("context");
        let wanted = options.text(key).unwrap_or_default();
        let source = if let Some(node) = git_context(wanted, options)? {
            Some(Remote::Git(Box::new(node)))
        } else if wanted.starts_with("http://") || wanted.starts_with("https://") {
            Some(http_context(gateway, wanted).await?)
        } else {
            if inputs.values().any(|input| input.def.is_empty()) {
                return Err(Failure::new("invalid nil input definition to definition op"));
            }
            inputs.get("context").cloned().map(Remote::Input)
        };
        let folder = options.text("contextsubdir").map(str::to_owned);
        // The name of the folder on the client's side never changes; the key only finds the option.
        Ok(source.map_or_else(|| Self::Local("context".to_owned()), |source| Self::Remote { source, folder }))
    }

    /// Adds a remote context to a graph; a local one is added when it is known what is used of it.
    pub(crate) fn add_remote(&self, graph: &mut Graph) -> Result<Option<NodeOutput>, Failure> {
        let Self::Remote { source, folder } = self else { return Ok(None) };
        let output = source.add(graph)?;
        let Some(folder) = folder else { return Ok(output) };
        Ok(Some(graph.add(file::copy_contents(output, folder)).output()))
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// The source operation of a context that can tell when it was made.
    pub(crate) fn timed_source(&self) -> Option<&pb::SourceOp> {
        match self {
            Self::Remote {
                source: Remote::Git(node) | Remote::Http(node) | Remote::Archive(node), ..
            } => source::operation_of(node),
            _ => None,
        }
    }
}

impl Remote {
    fn add(&self, graph: &mut Graph) -> Result<Option<NodeOutput>, Failure> {
        Ok(match self {
            Self::Git(node) | Self::Http(node) => Some(graph.add((**node).clone()).output()),
            Self::Archive(node) => {
                let archive = graph.add((**node).clone()).output();
                Some(graph.add(file::unpack(archive, &format!("/{HTTP_FILE}"))).output())
            }
            Self::Input(definition) => graph.import(definition)?,
        })
    }
}

/// `None` if the text names no repository.
pub(crate) fn git_source(text: &str, options: GitOptions) -> Result<Option<Node>, Failure> {
    match GitReference::parse(text) {
        Ok(reference) => {
            let options = GitOptions {
                keep_git_folder: options.keep_git_folder || reference.keep_git_dir == Some(true),
                checksum: reference.checksum.clone(),
                modified: reference.modified.or(options.modified),
            };
            let metadata = internal(&format!("load git source {text}"));
            Ok(Some(source::git(&reference, &options, metadata)))
        }
        Err(error) if error.is_of_git() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn git_context(text: &str, options: &Options) -> Result<Option<Node>, Failure> {
    let keep = options.text("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR").and_then(parse_bool);
    let dated = options.text("build-arg:SOURCE_DATE_EPOCH").is_some_and(|epoch| !epoch.is_empty());
    git_source(
        text,
        GitOptions {
            keep_git_folder: keep == Some(true),
            modified: dated.then_some(Modified::Commit),
            ..GitOptions::default()
        },
    )
}

async fn http_context(gateway: &dyn Gateway, url: &str) -> Result<Remote, Failure> {
    let node = source::http(url, HTTP_FILE, "", internal("load remote build context"));
    let definition = definition_of(node.clone());
    let file = gateway
        .read_file(&definition, HTTP_FILE)
        .await
        .map_err(|error| Failure::from(error).context("failed to resolve httpcontext"))?
        .ok_or_else(|| {
            Failure::new(format!(
                "failed to read downloaded context: open {HTTP_FILE}: no such file or directory"
            ))
        })?;
    Ok(if is_archive(&file) { Remote::Archive(Box::new(node)) } else { Remote::Http(Box::new(node)) })
}

/// bzip2, gzip, xz, or a tar header whose checksum is right.
fn is_archive(file: &[u8]) -> bool {
    let magic: [&[u8]; 3] = [b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0"];
    if magic.iter().any(|magic| file.starts_with(magic)) {
        return true;
    }
    let Some(header) = file.get(..512) else { return false };
    let digits: String = header[148..156].iter().map(|byte| char::from(*byte)).collect();
    let Ok(written) = u32::from_str_radix(digits.trim_matches(['\0', ' ']), 8) else { return false };
    // The checksum counts as spaces in itself.
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = header[148..156].iter().map(|byte| u32::from(*byte)).sum();
    sum - own + 8 * u32::from(b' ') == written
}

impl Entry {
    pub(crate) async fn load(
        gateway: &dyn Gateway,
        options: &Options,
        inputs: &BTreeMap<String, pb::Definition>,
    ) -> Result<Self, Failure> {
        let context = MainContext::find(gateway, options, inputs).await?;
        let remote_file = matches!(&context, MainContext::Remote { source: Remote::Http(_), .. });
        let file_name = if remote_file { HTTP_FILE } else { options.text("filename").unwrap_or(DOCKERFILE) };
        let definition = entry_definition(&context, file_name, gateway, options, inputs)?;
        let data = read_dockerfile(gateway, &definition, file_name).await?;
        let own = format!("{file_name}{IGNORE_FILE}");
        // A per-file ignore file is optional; whatever fails, the common one is asked next.
        let own_ignore = gateway.read_file(&definition, &own).await.ok().flatten().map(|file| (file, own));
        let vertex =
            slipway_model::llb::Definition::decode(&definition)?.head.map(|(vertex, _)| vertex.digest);
        let info = pb::SourceInfo {
            filename: file_name.to_owned(),
            data: data.clone(),
            definition: Some(definition),
            language: "Dockerfile".to_owned(),
        };
        Ok(Self { data, info, vertex, context, own_ignore, common_ignore: Mutex::default() })
    }

    /// The patterns of the ignore file; none for a remote context.
    pub(crate) async fn ignored(
        &self,
        gateway: &dyn Gateway,
        options: &Options,
    ) -> Result<Vec<String>, Failure> {
        let MainContext::Local(name) = &self.context else { return Ok(Vec::new()) };
        let (file, file_name) = match &self.own_ignore {
            Some(own) => own.clone(),
            None => (self.common_ignore(name, gateway, options).await?, IGNORE_FILE.to_owned()),
        };
        ignore::read(&file)
            .map_err(|error| Failure::from(error).context(format!("failed parsing {file_name}")))
    }

    async fn common_ignore(
        &self,
        name: &str,
        gateway: &dyn Gateway,
        options: &Options,
    ) -> Result<Bytes, Failure> {
        let mut known = self.common_ignore.lock().await;
        if let Some(file) = &*known {
            return Ok(file.clone());
        }
        let local = Local {
            name: name.to_owned(),
            session: options.session(name, &gateway.facts().session_id).to_owned(),
            shared_key: format!("{name}-{IGNORE_FILE}"),
            follow: vec![IGNORE_FILE.to_owned()],
            no_differ: true,
            ..Local::default()
        };
        let definition = definition_of(local.node(internal(&format!("load {IGNORE_FILE}"))));
        // A client that has no context can still build what needs none.
        let file = gateway.read_file(&definition, IGNORE_FILE).await.ok().flatten().unwrap_or_default();
        Ok(known.insert(file).clone())
    }
}

/// A definition of one source.
pub(crate) fn definition_of(node: Node) -> pb::Definition {
    let mut graph = Graph::new();
    let head = graph.add(node).output();
    graph.definition(Some(head), &[])
}

fn entry_definition(
    context: &MainContext,
    file_name: &str,
    gateway: &dyn Gateway,
    options: &Options,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<pb::Definition, Failure> {
    let forced = options.text("dockerfilekey");
    if forced.is_none() {
        let mut graph = Graph::new();
        match context {
            MainContext::Remote { source: Remote::Input(_), .. } | MainContext::Local(_) => {
                if let Some(input) = inputs.get("dockerfile") {
                    return Ok(input.clone());
                }
            }
            MainContext::Remote { source, .. } => {
                let head = source.add(&mut graph)?;
                return Ok(graph.definition(head, &[]));
            }
        }
    }
    let name = forced.unwrap_or("dockerfile");
    let mut follow = vec![file_name.to_owned(), format!("{file_name}{IGNORE_FILE}")];
    follow.extend(lower_case(file_name));
    let local = Local {
        name: name.to_owned(),
        session: options.session(name, &gateway.facts().session_id).to_owned(),
        shared_key: name.to_owned(),
        follow,
        no_differ: true,
        ..Local::default()
    };
    let metadata: Metadata = internal(&format!("load build definition from {file_name}"));
    Ok(definition_of(local.node(metadata)))
}

/// `dockerfile` in the same folder, which is tried where `Dockerfile` is not found.
fn lower_case(file_name: &str) -> Option<String> {
    let cleaned = clean_text(file_name);
    match cleaned.rsplit_once('/') {
        Some((folder, DOCKERFILE)) => Some(clean_text(&format!("{folder}/dockerfile"))),
        None if cleaned == DOCKERFILE => Some("dockerfile".to_owned()),
        _ => None,
    }
}

async fn read_dockerfile(
    gateway: &dyn Gateway,
    definition: &pb::Definition,
    file_name: &str,
) -> Result<Bytes, Failure> {
    let failed = |error| Failure::from(error).context("failed to resolve dockerfile");
    if let Some(file) = gateway.read_file(definition, file_name).await.map_err(failed)? {
        return Ok(file);
    }
    if let Some(other) = lower_case(file_name)
        && let Some(file) = gateway.read_file(definition, &other).await.map_err(failed)?
    {
        return Ok(file);
    }
    Err(Failure::new(format!("failed to read dockerfile: open {file_name}: no such file or directory")))
}
