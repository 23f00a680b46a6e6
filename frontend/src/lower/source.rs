//! Operations that bring files from outside: images, the client's folders, git, HTTP.

use std::collections::BTreeMap;

use slipway_model::lexical::absolute_text;
use slipway_model::llb::{Node, pb};
use slipway_model::{Platform, Reference};

use super::capabilities::*;
use super::metadata::Metadata;
use crate::plan::git_url::{GitReference, GitUrl, Modified};

/// `reference` is fully qualified. `mode`: `default`, `pull` or `local`.
pub(crate) fn image(reference: &str, mode: &str, platform: Option<&Platform>, metadata: Metadata) -> Node {
    let mut metadata = metadata.capability(SOURCE_IMAGE);
    let mut attributes = BTreeMap::new();
    if mode != "default" {
        attributes.insert("image.resolvemode".to_owned(), mode.to_owned());
    }
    if mode == "pull" {
        metadata.need(SOURCE_IMAGE_RESOLVE_MODE);
    }
    let reference = reference
        .parse::<Reference>()
        .map_or_else(|_| reference.to_owned(), |parsed| parsed.or_latest().to_string());
    Node {
        op: operation(format!("docker-image://{reference}"), attributes, platform),
        metadata: metadata.finish(),
        ..Node::default()
    }
}

pub(crate) fn oci_layout(
    reference: &str,
    session: &str,
    store: &str,
    platform: Option<&Platform>,
    metadata: Metadata,
) -> Node {
    let mut attributes = BTreeMap::from([("oci.store".to_owned(), store.to_owned())]);
    if !session.is_empty() {
        attributes.insert("oci.session".to_owned(), session.to_owned());
    }
    Node {
        op: operation(format!("oci-layout://{reference}"), attributes, platform),
        metadata: metadata.capability(SOURCE_OCI_LAYOUT).finish(),
        ..Node::default()
    }
}

/// A folder of the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) session: String,
    pub(crate) shared_key: String,
    /// Empty: all. Links in them are followed.
    pub(crate) follow: Vec<String>,
    pub(crate) excludes: Vec<String>,
    /// Send whole files without comparing with what is there: right for a few small ones.
    pub(crate) no_differ: bool,
}

impl Local {
    pub(crate) fn node(&self, metadata: Metadata) -> Node {
        let mut metadata = metadata.capability(SOURCE_LOCAL);
        let mut attributes = BTreeMap::new();
        let texts = [
            ("local.session", self.session.clone(), SOURCE_LOCAL_SESSION),
            ("local.followpaths", json_list(&self.follow), SOURCE_LOCAL_FOLLOW_PATHS),
            ("local.excludepatterns", json_list(&self.excludes), SOURCE_LOCAL_EXCLUDES),
            ("local.sharedkeyhint", self.shared_key.clone(), SOURCE_LOCAL_SHARED_KEY),
        ];
        for (key, value, capability) in texts {
            if !value.is_empty() {
                attributes.insert(key.to_owned(), value);
                metadata.need(capability);
            }
        }
        if self.no_differ {
            attributes.insert("local.differ".to_owned(), "none".to_owned());
        }
        let op = operation(format!("local://{}", self.name), attributes, None);
        Node { op, metadata: metadata.finish(), ..Node::default() }
    }
}

/// What of a git repository, beyond what its URL says.
#[derive(Clone, Debug, Default)]
pub(crate) struct GitOptions {
    pub(crate) keep_git_folder: bool,
    pub(crate) checksum: String,
    pub(crate) modified: Option<Modified>,
}

pub(crate) fn git(reference: &GitReference, options: &GitOptions, metadata: Metadata) -> Node {
    let mut metadata = metadata.capability(SOURCE_GIT).capability(SOURCE_GIT_FULL_URL);
    let url = match GitUrl::parse(&reference.remote) {
        Ok(url) => Some(url),
        // Without a protocol it is https.
        Err(_) => GitUrl::parse(&format!("https://{}", reference.remote)).ok(),
    };
    let remote = url.as_ref().map_or_else(|| reference.remote.clone(), |url| url.remote.clone());
    let mut attributes = BTreeMap::from([
        ("git.authheadersecret".to_owned(), "GIT_AUTH_HEADER".to_owned()),
        ("git.authtokensecret".to_owned(), "GIT_AUTH_TOKEN".to_owned()),
    ]);
    if url.as_ref().is_some_and(|url| url.scheme == "ssh") {
        attributes.insert("git.mountsshsock".to_owned(), "default".to_owned());
        metadata.need(SOURCE_GIT_KNOWN_HOSTS);
        metadata.need(SOURCE_GIT_SSH_SOCKET);
    }
    let modified = options.modified.map(|modified| match modified {
        Modified::Checkout => "checkout",
        Modified::Commit => "commit",
    });
    let flag = |set: bool| if set { "true" } else { "" };
    let texts = [
        ("git.keepgitdir", flag(options.keep_git_folder), SOURCE_GIT_KEEP_FOLDER),
        ("git.checksum", &options.checksum, SOURCE_GIT_CHECKSUM),
        ("git.skipsubmodules", flag(reference.submodules == Some(false)), SOURCE_GIT_SKIP_SUBMODULES),
        ("git.mtime", modified.unwrap_or_default(), SOURCE_GIT_MODIFIED),
        ("git.fetchbycommit", flag(reference.fetch_by_commit), SOURCE_GIT_BY_COMMIT),
    ];
    for (key, value, capability) in texts {
        if !value.is_empty() {
            attributes.insert(key.to_owned(), value.to_owned());
            metadata.need(capability);
        }
    }
    let identifier = git_identifier(reference, url.as_ref(), &remote);
    attributes.insert("git.fullurl".to_owned(), remote);
    let op = operation(format!("git://{identifier}"), attributes, None);
    Node { op, metadata: metadata.finish(), ..Node::default() }
}

/// The same for all protocols that reach one repository.
fn git_identifier(reference: &GitReference, url: Option<&GitUrl>, remote: &str) -> String {
    let Some(url) = url else { return remote.to_owned() };
    let mut identifier = format!("{}{}", url.host, absolute_text(&url.path));
    if !reference.reference.is_empty() || !reference.folder.is_empty() {
        identifier.push('#');
        identifier.push_str(&reference.reference);
    }
    if !reference.folder.is_empty() {
        identifier.push(':');
        identifier.push_str(&reference.folder);
    }
    identifier
}

/// `checksum` may be empty.
pub(crate) fn http(url: &str, file_name: &str, checksum: &str, metadata: Metadata) -> Node {
    let mut metadata = metadata.capability(SOURCE_HTTP);
    let mut attributes = BTreeMap::from([("http.filename".to_owned(), file_name.to_owned())]);
    if !checksum.is_empty() {
        attributes.insert("http.checksum".to_owned(), checksum.to_owned());
        metadata.need(SOURCE_HTTP_CHECKSUM);
    }
    let op = operation(url.to_owned(), attributes, None);
    Node { op, metadata: metadata.finish(), ..Node::default() }
}

fn operation(identifier: String, attrs: BTreeMap<String, String>, platform: Option<&Platform>) -> pb::Op {
    let source = pb::SourceOp { identifier, attrs };
    pb::Op {
        platform: platform.map(Into::into),
        constraints: Some(pb::WorkerConstraints::default()),
        op: Some(pb::op::Op::Source(source)),
        ..pb::Op::default()
    }
}

/// A JSON list as Go writes it, which escapes what HTML could trip over; empty for no texts.
fn json_list(texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let mut json = String::from("[");
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(text.as_str()).to_string());
    }
    json.push(']');
    for (plain, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        json = json.replace(plain, escaped);
    }
    json
}

pub(crate) fn operation_of(node: &Node) -> Option<&pb::SourceOp> {
    match &node.op.op {
        Some(pb::op::Op::Source(source)) => Some(source),
        _ => None,
    }
}
