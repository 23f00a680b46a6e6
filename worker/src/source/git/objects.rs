//! The bytes of commits and annotated tags, as git hashes them: what signatures are over.

use super::command::{Git, Reach};
use super::repository::Repository;
use crate::ops::cache_key::source::ResolvedGit;
use crate::{Error, Result};

/// More than any honest commit message.
const LARGEST: usize = 1 << 20;

pub(crate) struct Objects {
    pub(crate) commit: Vec<u8>,
    /// Of an annotated tag.
    pub(crate) tag: Option<Vec<u8>>,
}

/// Of what `resolved` names, which is in `repository`.
pub(super) async fn read(git: &Git, repository: &Repository, resolved: &ResolvedGit) -> Result<Objects> {
    let object = &resolved.checksum;
    let commit = read_one(git, repository, "commit", &format!("{object}^{{commit}}")).await?;
    let tag = match &resolved.commit {
        Some(commit) if commit != object => Some(read_one(git, repository, "tag", object).await?),
        _ => None,
    };
    Ok(Objects { commit, tag })
}

async fn read_one(git: &Git, repository: &Repository, kind: &str, object: &str) -> Result<Vec<u8>> {
    let bytes = git.run_for_bytes(Reach::Here, repository.place(), &["cat-file", kind, object]).await?;
    if bytes.len() > LARGEST {
        return Err(Error::Failed(format!("the git object {object} is larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}
