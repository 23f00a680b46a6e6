//! What of a repository is asked for.

use super::{GitError, GitUrl};
use crate::dockerfile::values::parse_bool;

/// Texts are empty if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitReference {
    /// What git is to be called with.
    pub remote: String,
    /// The repository's last name without `.git`.
    pub short_name: String,
    /// A commit, a tag or a branch.
    pub reference: String,
    /// The commit that must be found.
    pub checksum: String,
    pub folder: String,
    /// Written `github.com/…`, which a local path may be called too; only contexts accept it.
    pub could_be_local: bool,
    /// `http` or `git`: anyone between may change what is fetched.
    pub unencrypted: bool,
    pub keep_git_dir: Option<bool>,
    pub submodules: Option<bool>,
    pub modified: Option<Modified>,
    /// Fetch the commit of `checksum` without comparing it with the reference's.
    pub fetch_by_commit: bool,
}

/// The time stamps of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modified {
    /// When they are checked out.
    Checkout,
    /// The commit's.
    Commit,
}

impl GitReference {
    /// An error with [`GitError::is_of_git`] false means that the text names something else.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        if text.starts_with("./") || text.starts_with("../") {
            return Err(GitError::NotGit);
        }
        let could_be_local = text.starts_with("github.com/");
        let url = if could_be_local {
            GitUrl::parse_url(&format!("https://{text}"))?
        } else {
            GitUrl::parse(text)?
        };
        let is_download = matches!(url.scheme.as_str(), "http" | "https") && !url.path.ends_with(".git");
        if is_download && !could_be_local {
            return Err(GitError::NotGit);
        }
        let remote = match url.remote.split_once("://") {
            Some((_, remote)) if could_be_local => remote.to_owned(),
            _ => url.remote.clone(),
        };
        let last = remote.rsplit('/').next().unwrap_or_default();
        let fragment = url.fragment.clone();
        let mut reference = Self {
            short_name: last.strip_suffix(".git").unwrap_or(last).to_owned(),
            remote,
            could_be_local,
            unencrypted: matches!(url.scheme.as_str(), "http" | "git"),
            ..Self::default()
        };
        if let Some(fragment) = fragment {
            (reference.reference, reference.folder) = (fragment.reference, fragment.folder);
        }
        reference.load_query(&url.query)?;
        Ok(reference)
    }

    /// `remote[#reference[:folder]]`: without a query, for daemons that know none.
    pub fn with_fragment(&self, with_folder: bool) -> String {
        let mut text = self.remote.clone();
        let cleaned = slipway_model::lexical::clean_text(&format!("/{}", self.folder));
        let folder = if with_folder { cleaned.trim_start_matches('/') } else { "" };
        if !self.reference.is_empty() || !folder.is_empty() {
            text.push('#');
            text.push_str(&self.reference);
        }
        if !folder.is_empty() {
            text.push(':');
            text.push_str(folder);
        }
        text
    }

    fn load_query(&mut self, query: &[(String, String)]) -> Result<(), GitError> {
        let (mut tag, mut branch) = (None, None);
        for (index, (key, value)) in query.iter().enumerate() {
            if query[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(GitError::SeveralValues(key.clone()));
            }
            let is_switch = matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_switch {
                return Err(GitError::NoValue(key.clone()));
            }
            match key.as_str() {
                "ref" => agree("ref", &mut self.reference, value.clone())?,
                "subdir" => agree("subdir", &mut self.folder, value.clone())?,
                "tag" => tag = Some(value),
                "branch" => branch = Some(value),
                "checksum" | "commit" => self.checksum.clone_from(value),
                "keep-git-dir" => self.keep_git_dir = Some(switch("keep-git-dir", value)?),
                "submodules" => self.submodules = Some(switch("submodules", value)?),
                "fetch-by-commit" => self.fetch_by_commit = switch("fetch-by-commit", value)?,
                "mtime" => {
                    self.modified = Some(match value.as_str() {
                        "checkout" => Modified::Checkout,
                        "commit" => Modified::Commit,
                        other => return Err(GitError::Modified(other.to_owned())),
                    });
                }
                _ => return Err(GitError::UnknownQuery(key.clone())),
            }
        }
        if let Some(tag) = tag {
            agree("ref", &mut self.reference, under("refs/tags/", tag))?;
        }
        match branch {
            Some(_) if tag.is_some() => Err(GitError::BranchAndTag),
            Some(branch) => agree("ref", &mut self.reference, under("refs/heads/", branch)),
            None => Ok(()),
        }
    }
}

/// Sets what is not yet set to something else.
fn agree(what: &'static str, place: &mut String, value: String) -> Result<(), GitError> {
    if !place.is_empty() && *place != value {
        return Err(GitError::Conflict { what, first: place.clone(), second: value });
    }
    *place = value;
    Ok(())
}

/// Without a value it is on.
fn switch(key: &'static str, value: &str) -> Result<bool, GitError> {
    if value.is_empty() {
        return Ok(true);
    }
    parse_bool(value).ok_or_else(|| GitError::InvalidValue { key, value: value.to_owned() })
}

fn under(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}
