//! A tree of a git repository: `git://HOST/PATH#REFERENCE:FOLDER`, with the address in `git.fullurl`.
//!
//! ```text
//! cache_map   a full commit is named ──────> its key, nobody is asked
//!             else ls-remote ──────────────> the commit of a branch or tag, checked against `git.checksum`
//! exec        a snapshot of the same key ──> that
//!             else ─> repository of the remote (kept) ─> fetch what is missing ─> checkout into a snapshot
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `command` | running the host's `git`, with nothing of the host's configuration |
//! | `access` | what the client gives to reach the remote: tokens, headers, an SSH agent, known hosts |
//! | `remote` | what a name means at the remote |
//! | `repository` | the repository that is kept for each remote, and fetching into it |
//! | `checkout` | from a commit to files |
//! | `bundle` | commits in one file, in place of a remote or of files |
//! | `signature` | who has signed a commit or a tag |
//!
//! # What a repository may do
//!
//! | danger | why not |
//! |---|---|
//! | hooks, filters, credential helpers, aliases | no configuration of the host is read, hooks lead to `/dev/null`, the repository's own configuration is ours |
//! | `file://`, `ext::` and the like, also as submodules | `GIT_ALLOW_PROTOCOL` names http, https, ssh and git |
//! | a folder that is a link out of the tree | it is resolved by the kernel with links refused |
//! | secrets in process lists, logs or the snapshot | they go through the environment of the one process, and are crossed out of what it says |
//! | a token sent on to another server | with a token or header, redirects are not followed |

mod access;
mod bundle;
mod checkout;
mod command;
mod remote;
mod repository;
mod signature;

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::llb::pb;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::Ref;
use tokio::sync::OnceCell;

use super::credentials_of_url;
use crate::ops::cache_key::source::{GitIdentifier, ResolvedGit};
use crate::{Error, Result, Value, Worker};
use access::Access;
use bundle::Bundle;
use command::Git;
use repository::Repository;

pub(crate) struct GitOp {
    worker: Arc<Worker>,
    identifier: GitIdentifier,
    /// The remote without names and passwords.
    shown: String,
    /// Asked once for each vertex.
    resolved: OnceCell<ResolvedGit>,
}

impl GitOp {
    /// `address` is the identifier without its scheme.
    pub(crate) fn new(worker: Arc<Worker>, address: &str, source: &pb::SourceOp) -> Result<Self> {
        let identifier =
            GitIdentifier::parse(address, source).map_err(|error| Error::Failed(error.to_string()))?;
        if !matches!(identifier.mtime.as_str(), "" | "checkout" | "commit") {
            return Err(Error::Failed(format!("invalid git.mtime {:?}", identifier.mtime)));
        }
        let shown = credentials_of_url::hidden(&identifier.remote);
        Ok(Self { worker, identifier, shown, resolved: OnceCell::new() })
    }

    async fn resolved(&self, ctx: &OpContext<Value>) -> Result<&ResolvedGit> {
        self.resolved.get_or_try_init(|| self.resolve_signed(ctx)).await
    }

    /// Nothing is answered, from before or otherwise, that is not signed as this build wants it.
    async fn resolve_signed(&self, ctx: &OpContext<Value>) -> Result<ResolvedGit> {
        let resolved = self.resolve(ctx).await?;
        if let Some(rules) = &self.identifier.signature {
            let git = self.git(ctx).await?;
            let repository = self.repository(ctx, &git, &resolved).await?;
            signature::check(&git, &repository, rules, &resolved).await?;
        }
        Ok(resolved)
    }

    async fn resolve(&self, ctx: &OpContext<Value>) -> Result<ResolvedGit> {
        let failed = |error: crate::ops::cache_key::CacheKeyError| Error::Failed(error.to_string());
        if let Some(resolved) = self.identifier.resolve_by_text().map_err(failed)? {
            return Ok(resolved);
        }
        match self.bundle(ctx).await? {
            Some(bundle) => remote::resolve(bundle.git(), &self.identifier, &self.shown).await,
            None => remote::resolve(&self.git(ctx).await?, &self.identifier, &self.shown).await,
        }
    }

    async fn bundle(&self, ctx: &OpContext<Value>) -> Result<Option<Bundle>> {
        Bundle::of(&self.worker, &self.identifier, ctx.sessions()).await
    }

    async fn repository(
        &self,
        ctx: &OpContext<Value>,
        git: &Git,
        resolved: &ResolvedGit,
    ) -> Result<Repository> {
        let (store, identifier) = (&self.worker.store, &self.identifier);
        repository::of(store, git, identifier, resolved, self.bundle(ctx), &self.shown).await
    }

    async fn git(&self, ctx: &OpContext<Value>) -> Result<Git> {
        let access = Access::of(&self.worker, &self.identifier, &ctx.sessions()).await?;
        Ok(Git::new(access, &self.identifier.remote))
    }

    async fn snapshot(&self, ctx: &OpContext<Value>, resolved: &ResolvedGit) -> Result<Ref> {
        let name = format!("git\n{}", self.identifier.key(resolved).digest);
        if let Some(known) = self.worker.store.named(&name)? {
            return Ok(known);
        }
        let git = self.git(ctx).await?;
        let repository = self.repository(ctx, &git, resolved).await?;
        let made =
            checkout::checkout(&self.worker, &git, &repository, &self.identifier, resolved, &self.shown);
        let made = made.await?;
        self.worker.store.set_name(&name, &made)?;
        Ok(made)
    }
}

#[async_trait]
impl Op<Value> for GitOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let resolved = self.resolved(ctx).await?;
        let mut map = CacheMap::new(OpDigest(self.identifier.key(resolved).digest), 0);
        map.resolved = Some(resolved.checksum.as_str().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let resolved = self.resolved(ctx).await?;
        tokio::select! {
            () = ctx.stop.cancelled() => Err(Error::Cancelled.into()),
            snapshot = self.snapshot(ctx, resolved) => Ok(vec![Value::Snapshot(snapshot?)]),
        }
    }
}
