//! The bare repository that is kept for each remote, so that the next commit is fetched as a difference.
//!
//! One build uses it at a time. What is fetched stays reachable by a name of ours, `refs/slipway/HASH`, which no
//! branch of the remote can stand in the way of.

use std::path::{Path, PathBuf};

use slipway_store::{CacheMount, Store};

use super::bundle::Bundle;
use super::command::{Git, Place, Reach};
use crate::blocking::blocking;
use crate::ops::cache_key::source::{GitIdentifier, ResolvedGit};
use crate::{Error, Result};

pub(super) struct Repository {
    directory: CacheMount,
    pub(super) git_dir: PathBuf,
}

impl Repository {
    pub(super) fn place(&self) -> Place<'_> {
        Place { git_dir: Some(&self.git_dir), work_tree: None }
    }

    /// A folder for one checkout, on the filesystem of the snapshots. It is gone when the next one is asked for.
    pub(super) fn scratch(&self) -> Result<PathBuf> {
        let path = self.directory.directory().join(SCRATCH);
        let failed = |error| Error::io(format!("cannot use {}", path.display()), error);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(path)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // What stays is removed by the next user, or with the whole directory.
        let _ = std::fs::remove_dir_all(self.directory.directory().join(SCRATCH));
    }
}

const REPOSITORY: &str = "repository";
const SCRATCH: &str = "scratch";

/// The name under which the object is kept.
pub(super) fn kept_name(object: &str) -> String {
    format!("refs/slipway/{object}")
}

/// The repository of the remote, with the object of `resolved` in it. `bundle` is only asked for if that is missing.
pub(super) async fn of(
    store: &Store,
    git: &Git,
    identifier: &GitIdentifier,
    resolved: &ResolvedGit,
    bundle: impl Future<Output = Result<Option<Bundle>>>,
    shown: &str,
) -> Result<Repository> {
    let object = &resolved.checksum;
    let format = if object.len() == 64 { "sha256" } else { "sha1" };
    // The key is kept in the database, where no password belongs.
    let remote = slipway_model::Digest::of(git.remote()).hex();
    let description = format!("shared git repo for {shown}");
    let directory = store.shared_directory(&format!("git\n{format}\n{remote}"), &description).await?;
    let git_dir = directory.directory().join(REPOSITORY);
    let repository = Repository { directory, git_dir };
    let found = repository.git_dir.clone();
    let whole = blocking(move || tidy(&found)).await?;
    if !whole {
        let path = repository.git_dir.to_string_lossy();
        let arguments = ["init", "--quiet", "--bare", &format!("--object-format={format}"), &path];
        git.run(Reach::Here, Place::default(), &arguments).await?;
    }
    if !has(git, &repository, object).await {
        let failed = |error: Error| Error::Failed(format!("failed to fetch remote {shown}: {error}"));
        match bundle.await? {
            Some(bundle) => bundle.import(&repository, object).await?,
            None => fetch(git, &repository, identifier, resolved).await.map_err(failed)?,
        }
    }
    git.run(Reach::Here, repository.place(), &["update-ref", &kept_name(object), object]).await?;
    Ok(repository)
}

/// Removes what a git that was killed leaves in its way. Whether there is a repository at all.
fn tidy(git_dir: &Path) -> Result<bool> {
    let is_whole = ["HEAD", "objects", "refs"].iter().all(|name| git_dir.join(name).exists());
    for name in ["shallow.lock", "config.lock", "packed-refs.lock", "HEAD.lock", "index.lock"] {
        let path = git_dir.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {}", path.display()), error));
            }
            _ => {}
        }
    }
    Ok(is_whole)
}

pub(super) async fn has(git: &Git, repository: &Repository, object: &str) -> bool {
    git.succeeds(repository.place(), &["cat-file", "-e", &format!("{object}^{{tree}}")]).await
}

/// Everything there is, with its history: what is known so far may have none.
pub(super) async fn fetch_all(git: &Git, repository: &Repository) -> Result<()> {
    if repository.git_dir.join("shallow").exists() { Way::All.fetch(git, repository).await } else { Ok(()) }
}

/// By its name, which every server allows; by its hash, which many do; else with everything there is.
async fn fetch(
    git: &Git,
    repository: &Repository,
    identifier: &GitIdentifier,
    resolved: &ResolvedGit,
) -> Result<()> {
    let object = &resolved.checksum;
    let target = kept_name(object);
    let mut ways = Vec::new();
    if &resolved.reference != object && !identifier.fetch_by_commit {
        ways.push(Way::One(format!("+{}:{target}", resolved.reference)));
    }
    ways.push(Way::One(format!("+{object}:{target}")));
    if !identifier.fetch_by_commit {
        ways.push(Way::All);
    }
    let mut last = None;
    for way in ways {
        match way.fetch(git, repository).await {
            Ok(()) if has(git, repository, object).await => return Ok(()),
            Ok(()) => {}
            Err(error) if is_about_names(&error.to_string()) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    let missing = format!(
        "fetched ref {} does not match expected commit {object} and commit can not be found in the repository",
        resolved.reference
    );
    Err(last.unwrap_or(Error::Failed(missing)))
}

enum Way {
    One(String),
    All,
}

impl Way {
    async fn fetch(&self, git: &Git, repository: &Repository) -> Result<()> {
        let quiet = ["fetch", "--quiet", "--no-write-fetch-head", "--force"];
        let fetch = async |more: &[&str]| {
            let arguments = [&quiet[..], more].concat();
            git.run(Reach::Origin, repository.place(), &arguments).await.map(drop)
        };
        match self {
            Self::One(name) => match fetch(&["--no-tags", "--depth=1", "--", "origin", name]).await {
                // Servers that only hand out files know no depth.
                Err(error) if error.to_string().contains("shallow") => {
                    fetch(&["--no-tags", "--", "origin", name]).await
                }
                other => other,
            },
            Self::All => {
                let all = ["--tags", "--", "origin", "+refs/heads/*:refs/remotes/origin/*"];
                if repository.git_dir.join("shallow").exists() {
                    fetch(&[&["--unshallow"][..], &all].concat()).await
                } else {
                    fetch(&all).await
                }
            }
        }
    }
}

/// The server knows the repository, but not what was asked for, or does not give it out in this way.
fn is_about_names(complaint: &str) -> bool {
    let known = [
        "not our ref",
        "unadvertised object",
        "does not allow request",
        "remote ref",
        "Server does not allow",
    ];
    known.iter().any(|words| complaint.contains(words))
}
