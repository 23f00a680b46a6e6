//! `ADD`: as `COPY`, and URLs, git repositories, archives.

use slipway_model::lexical::absolute_text;
use slipway_model::{Digest, DigestError};

use super::Lowering;
use super::copy::{Copying, Transfer, as_git};
use super::metadata::Metadata;
use super::source::{self, GitOptions};
use super::stage::StageState;
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::Add;
use crate::error::Failure;
use crate::plan::git_url::GitReference;
use slipway_model::quote::quoted;

/// What only `ADD` knows.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) keep_git_folder: Option<bool>,
    pub(super) checksum: String,
    pub(super) unpack: Option<bool>,
}

impl Lowering<'_> {
    pub(super) fn add(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        add: &Add,
    ) -> Result<(), Failure> {
        let add = add.expand(&mut |word| self.expand(stage, instruction, word))?;
        let sources = add.sources.expand_contents(&mut |body| self.expand_body(stage, instruction, body))?;
        let is_url = |path: &str| path.starts_with("http://") || path.starts_with("https://");
        let local = sources.paths.iter().filter(|path| !is_url(path));
        let used: Vec<String> = local.map(|path| absolute_text(path)).collect();
        self.transfer(
            stage,
            Transfer {
                instruction,
                sources,
                chown: add.chown,
                chmod: add.chmod,
                excludes: add.excludes,
                link: add.link,
                parents: false,
                cache: add.cache,
                from: self.context,
                is_context: true,
                remote: Some(Remote {
                    keep_git_folder: add.keep_git_dir,
                    checksum: add.checksum,
                    unpack: add.unpack,
                }),
            },
        )?;
        stage.context_paths.extend(used);
        Ok(())
    }

    /// Adds a source that is no path; false if it is one.
    pub(super) fn add_remote(&mut self, copying: &mut Copying<'_>, path: &str) -> Result<bool, Failure> {
        if let Some(repository) = as_git(path)? {
            let Some(remote) = &mut copying.transfer.remote else {
                return Err(Failure::new("source can't be a git ref for COPY"));
            };
            let options = git_options(remote, &repository)?;
            let node = source::git(&repository, &options, Metadata::named(&copying.name));
            let node = self.graph.add(node);
            copying.push(node.output(), "/", false);
            return Ok(true);
        }
        if !is_http(path) {
            return Ok(false);
        }
        let Some(remote) = copying.transfer.remote.clone() else {
            return Err(Failure::new("source can't be a URL for COPY"));
        };
        let checksum = checked(&remote.checksum)?;
        let file_name = url_file_name(path);
        let metadata = Metadata::named(&copying.name).command("");
        let node = self.graph.add(source::http(path, &file_name, &checksum, metadata));
        copying.push(node.output(), &format!("/{file_name}"), remote.unpack == Some(true));
        Ok(true)
    }
}

/// The checksum of a download, with the reference's words for a wrong one; empty is none.
pub(super) fn checked(checksum: &str) -> Result<String, Failure> {
    if checksum.is_empty() {
        return Ok(String::new());
    }
    match checksum.parse::<Digest>() {
        Ok(digest) => Ok(digest.to_string()),
        Err(DigestError::Algorithm(_)) => Err(Failure::new("unsupported digest algorithm")),
        Err(DigestError::Hex(text, length)) if text.rsplit(':').next().map(str::len) != Some(length) => {
            Err(Failure::new("invalid checksum digest length"))
        }
        Err(_) => Err(Failure::new("invalid checksum digest format")),
    }
}

/// What the flags say and what the URL says must not disagree. Both hold for later sources, too.
fn git_options(remote: &mut Remote, repository: &GitReference) -> Result<GitOptions, Failure> {
    match (remote.keep_git_folder, repository.keep_git_dir) {
        (Some(flag), Some(query)) if flag != query => {
            return Err(Failure::new("inconsistent keep-git-dir configuration"));
        }
        (_, Some(query)) => remote.keep_git_folder = Some(query),
        _ => {}
    }
    if !repository.checksum.is_empty() {
        if !remote.checksum.is_empty() && remote.checksum != repository.checksum {
            return Err(Failure::new(format!(
                "checksum mismatch {} != {}",
                quoted(&remote.checksum),
                quoted(&repository.checksum)
            )));
        }
        remote.checksum.clone_from(&repository.checksum);
    }
    Ok(GitOptions {
        keep_git_folder: remote.keep_git_folder == Some(true),
        checksum: remote.checksum.clone(),
        modified: None,
    })
}

pub(super) fn check_checksum(transfer: &Transfer<'_>) -> Result<(), Failure> {
    if transfer.remote.as_ref().is_none_or(|remote| remote.checksum.is_empty()) {
        return Ok(());
    }
    let [path] = &transfer.sources.paths[..] else {
        return Err(Failure::new("checksum can't be specified for multiple sources"));
    };
    if is_http(path) || GitReference::parse(path).is_ok() {
        return Ok(());
    }
    Err(Failure::new("checksum requires HTTP(S) or Git sources"))
}

/// `https://host/repository.git` is git.
pub(super) fn is_http(path: &str) -> bool {
    (path.starts_with("http://") || path.starts_with("https://")) && GitReference::parse(path).is_err()
}

/// The last name of the URL's path.
pub(super) fn url_file_name(text: &str) -> String {
    const UNNAMED: &str = "__unnamed__";
    let Ok(_) = url::Url::parse(text) else { return UNNAMED.to_owned() };
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let Some(path) = percent_decoded(path) else { return UNNAMED.to_owned() };
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | ".") => UNNAMED.to_owned(),
        Some(name) => name.to_owned(),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
