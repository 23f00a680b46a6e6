//! Bundles: commits in one file, in place of a remote (`git.bundle`) or of files (`git.checkoutbundle`).
//!
//! A bundle is a blob of a registry or of a client's layout, named by its digest. It is not believed more than a remote
//! is: the commit that it has to carry is named as well, and git checks that all of it is there.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use slipway_model::llb::pb;
use slipway_model::{Digest, Hasher};
use tokio::io::AsyncWriteExt as _;

use super::super::blob;
use super::super::save::Pieces;
use super::command::{Git, Place, Reach};
use super::repository::{Repository, has, kept_name};
use crate::blocking::blocking;
use crate::ops::cache_key::source::{BlobIdentifier, GitIdentifier};
use crate::{Error, Place as Where, Result, Worker};

/// A bundle that has arrived; gone when it is dropped.
pub(super) struct Bundle {
    path: PathBuf,
    name: String,
    digest: Digest,
    git: Git,
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The file in a checkout.
const FILE: &str = "bundle";

impl Bundle {
    /// Fetches what `git.bundle` names, if it names one.
    pub(super) async fn of(
        worker: &Worker,
        identifier: &GitIdentifier,
        sessions: Vec<String>,
    ) -> Result<Option<Self>> {
        if identifier.bundle.is_empty() {
            return Ok(None);
        }
        let failed = |reason: String| {
            Error::Failed(format!("failed to parse git.bundle locator {:?}: {reason}", identifier.bundle))
        };
        let (scheme, name) =
            identifier.bundle.split_once("://").ok_or_else(|| failed("missing scheme".into()))?;
        let parsed = BlobIdentifier::parse(name, &pb::SourceOp::default());
        let parsed = parsed.map_err(|error| failed(error.to_string()))?;
        let place = match scheme {
            blob::REGISTRY => Where::Registry,
            blob::LAYOUT => Where::Layout {
                session: identifier.bundle_session.clone(),
                store: identifier.bundle_store.clone().unwrap_or(parsed.locator),
            },
            other => return Err(failed(format!("scheme {other:?} is not supported"))),
        };
        let path = worker.passing_file()?;
        let git = Git::of_bundle(&path);
        let bundle = Self { path, name: name.to_owned(), digest: parsed.digest, git };
        let pieces = blob::open(worker, &place, name, bundle.digest, sessions).await?;
        bundle.write(pieces).await?;
        Ok(Some(bundle))
    }

    /// For asking what is in it.
    pub(super) fn git(&self) -> &Git {
        &self.git
    }

    async fn write(&self, mut pieces: Pieces) -> Result<()> {
        let failed = |error| Error::io(format!("cannot write the bundle {}", self.name), error);
        let mut file = tokio::fs::File::create_new(&self.path).await.map_err(failed)?;
        let mut hasher = Hasher::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        let found = hasher.finish();
        if found == self.digest { Ok(()) } else { Err(blob::mismatch(&self.name, &self.digest, &found)) }
    }

    /// Takes over what is in it, under names that no other bundle has.
    pub(super) async fn import(&self, repository: &Repository, object: &str) -> Result<()> {
        let names = format!("+refs/*:refs/bundles/{}/*", self.digest.hex());
        let fetch =
            ["fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--force", "--", "origin", &names];
        let failed =
            |error: Error| Error::Failed(format!("failed to import git bundle {}: {error}", self.name));
        self.git.run(Reach::Origin, repository.place(), &fetch).await.map_err(failed)?;
        if has(&self.git, repository, object).await {
            return Ok(());
        }
        Err(Error::Failed(format!("commit {object} not found in bundle {}", self.name)))
    }
}

/// Writes a bundle of the object, with all of its history, to `folder`.
pub(super) async fn export(
    git: &Git,
    repository: &Repository,
    identifier: &GitIdentifier,
    object: &str,
    folder: &Path,
) -> Result<()> {
    let scratch = repository.scratch()?;
    let (git_dir, kept, made) = (scratch.join("git"), repository.git_dir.clone(), scratch.join(FILE));
    let (path, is_sha256, remote) = (git_dir.clone(), object.len() == 64, git.remote().to_owned());
    blocking(move || super::checkout::borrow_objects(&path, &kept, is_sha256, &remote)).await?;
    let place = Place { git_dir: Some(&git_dir), work_tree: None };
    let name = identifier.name_in_bundle();
    // An annotated tag stays one only under the name of a tag.
    let what =
        if name.starts_with("refs/tags/") { object.to_owned() } else { format!("{object}^{{commit}}") };
    let commit = git.run(Reach::Here, place, &["rev-parse", "--verify", "--quiet", &what]).await?;
    git.run(Reach::Here, place, &["update-ref", &name, commit.trim()]).await?;
    // The bytes do not depend on how many processors there are.
    let create = ["-c", "pack.threads=1", "bundle", "create", "--quiet", &made.to_string_lossy(), &name];
    let failed = |error: Error| {
        Error::Failed(format!("failed to create git bundle for {}: {error}", kept_name(object)))
    };
    git.run(Reach::Here, place, &create).await.map_err(failed)?;
    let target = folder.join(FILE);
    // On the same filesystem, and nobody else's yet.
    blocking(move || {
        std::fs::rename(&made, &target).map_err(|error| Error::io("cannot move the bundle", error))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_knows_the_commit_by_a_name() {
        let name = |reference: &str| {
            GitIdentifier { reference: reference.into(), ..GitIdentifier::default() }.name_in_bundle()
        };
        assert_eq!(name(""), "refs/heads/main");
        assert_eq!(name("0123456789012345678901234567890123456789"), "refs/heads/main");
        assert_eq!(name("refs/tags/v1"), "refs/tags/v1");
        for same in ["v1", "heads/v1", "refs/heads/v1", "refs/v1"] {
            assert_eq!(name(same), "refs/heads/v1");
        }
    }
}
