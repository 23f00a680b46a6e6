//! A tree of a git repository: `git://HOST/PATH#REFERENCE:FOLDER`, with the address in `git.fullurl`.
//!
//! ```text
//! cache_map   a full commit is named ──────> its key, nobody is asked
//!             else ls-remote ──────────────> the commit of a branch or tag, checked against `git.checksum`
//!                            nobody answers > what it was the last time, and a warning
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
//! | `objects` | the bytes of commits and tags |
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
mod objects;
mod remote;
mod repository;
mod signature;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use slipway_model::llb::pb;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::Ref;
use tokio::sync::OnceCell;

use super::answers::{PATIENCE, warn};
use super::credentials_of_url;
use super::of_build::BuildSources;
use crate::ops::cache_key::source::{GitIdentifier, GitSignature, ResolvedGit};
use crate::{Error, Result, Value, Worker};
use access::Access;
use bundle::Bundle;
use command::Git;
pub(crate) use objects::Objects;
use repository::Repository;

pub(crate) struct GitOp {
    source: GitSource,
    build: Arc<BuildSources>,
    /// Asked once for each vertex.
    resolved: OnceCell<Commit>,
}

/// A tree of a repository, and how it is asked for.
pub(crate) struct GitSource {
    worker: Arc<Worker>,
    identifier: GitIdentifier,
    /// The remote without names and passwords.
    shown: String,
}

/// What a name came to.
#[derive(Clone)]
pub(crate) struct Commit {
    pub(crate) resolved: ResolvedGit,
    /// Why it is the commit of before: nobody answered.
    pub(crate) remembered: Option<Arc<str>>,
}

impl GitOp {
    /// `address` is the identifier without its scheme.
    pub(crate) fn new(
        worker: Arc<Worker>,
        build: Arc<BuildSources>,
        address: &str,
        source: &pb::SourceOp,
    ) -> Result<Self> {
        Ok(Self { source: GitSource::new(worker, address, source)?, build, resolved: OnceCell::new() })
    }

    async fn resolved(&self, ctx: &OpContext<Value>) -> Result<&ResolvedGit> {
        let resolve = || async {
            let commit = self.source.resolve(&self.build, &ctx.sessions()).await?;
            warn(ctx, commit.remembered.as_deref());
            Ok::<_, Error>(commit)
        };
        Ok(&self.resolved.get_or_try_init(resolve).await?.resolved)
    }
}

impl GitSource {
    /// `address` is the identifier without its scheme.
    pub(crate) fn new(worker: Arc<Worker>, address: &str, source: &pb::SourceOp) -> Result<Self> {
        let identifier =
            GitIdentifier::parse(address, source).map_err(|error| Error::Failed(error.to_string()))?;
        if !matches!(identifier.mtime.as_str(), "" | "checkout" | "commit") {
            return Err(Error::Failed(format!("invalid git.mtime {:?}", identifier.mtime)));
        }
        let shown = credentials_of_url::hidden(&identifier.remote);
        Ok(Self { worker, identifier, shown })
    }

    /// What the name means; asked once for each build. Nothing is answered, from before or otherwise, that is not signed
    /// as this build wants it.
    pub(crate) async fn resolve(&self, build: &BuildSources, sessions: &[String]) -> Result<Commit> {
        let commit = self.resolve_unsigned(build, sessions).await?;
        if let Some(rules) = &self.identifier.signature {
            self.check_signature(rules, sessions, &commit.resolved).boxed().await?;
        }
        Ok(commit)
    }

    async fn check_signature(
        &self,
        rules: &GitSignature,
        sessions: &[String],
        resolved: &ResolvedGit,
    ) -> Result<()> {
        let git = self.git(sessions).await?;
        let repository = self.repository(&git, sessions, resolved).await?;
        signature::check(&git, &repository, rules, resolved).await
    }

    async fn resolve_unsigned(&self, build: &BuildSources, sessions: &[String]) -> Result<Commit> {
        let failed = |error: crate::ops::cache_key::CacheKeyError| Error::Failed(error.to_string());
        if let Some(resolved) = self.identifier.resolve_by_text().map_err(failed)? {
            return Ok(Commit { resolved, remembered: None });
        }
        let GitIdentifier { remote, reference, bundle, .. } = &self.identifier;
        // One build hears one answer of a remote, whatever it was asked with; for the files each has to show what
        // it has. A bundle answers for itself alone.
        let name = format!("{remote:?} {reference:?} {bundle:?}");
        let ask = || async { self.ask(&self.question(), sessions, build.must_ask()).await };
        let commit = build.commits.get(&name, ask).await?;
        remote::check(&self.identifier, &commit.resolved)?;
        Ok(commit)
    }

    /// The remote and the name, and who asks: what one may see is no answer to another.
    fn question(&self) -> String {
        let GitIdentifier { remote, reference, auth_token_secret, auth_header_secret, ssh_socket, .. } =
            &self.identifier;
        let bundle = match self.identifier.bundle.as_str() {
            "" => String::new(),
            bundle => format!(" in {bundle:?}"),
        };
        format!(
            "git {remote:?} {reference:?} {auth_token_secret:?} {auth_header_secret:?} {ssh_socket:?}{bundle}"
        )
    }

    /// Asks the remote; what it said last will do if it does not answer.
    async fn ask(&self, question: &str, sessions: &[String], must_ask: bool) -> Result<Commit> {
        if let Some(bundle) = self.bundle(sessions).await? {
            let resolved = remote::resolve(bundle.git(), &self.identifier, &self.shown).await?;
            return Ok(Commit { resolved, remembered: None });
        }
        let git = self.git(sessions).await?;
        let asking = remote::resolve(&git, &self.identifier, &self.shown);
        let answers = &self.worker.answers;
        let last = answers.last(question)?.and_then(|text| remote::from_text(&text));
        let Some(last) = last.filter(|_| !must_ask) else {
            return self.noted(question, asking.await?);
        };
        let reason = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(resolved)) => return self.noted(question, resolved),
            Ok(Err(error)) if remote::is_unreachable(&error.to_string()) => error.to_string(),
            Ok(Err(error)) => return Err(error),
            Err(_) => format!("no answer within {} seconds", PATIENCE.as_secs()),
        };
        let warning = format!("{} is used as it was seen last, {}: {reason}", self.shown, last.checksum);
        Ok(Commit { resolved: last, remembered: Some(warning.into()) })
    }

    fn noted(&self, question: &str, resolved: ResolvedGit) -> Result<Commit> {
        self.worker.answers.note(question, &remote::to_text(&resolved))?;
        Ok(Commit { resolved, remembered: None })
    }

    async fn bundle(&self, sessions: &[String]) -> Result<Option<Bundle>> {
        Bundle::of(&self.worker, &self.identifier, sessions.to_vec()).boxed().await
    }

    async fn repository(&self, git: &Git, sessions: &[String], resolved: &ResolvedGit) -> Result<Repository> {
        let (store, identifier) = (&self.worker.store, &self.identifier);
        repository::of(store, git, identifier, resolved, self.bundle(sessions), &self.shown).await
    }

    async fn git(&self, sessions: &[String]) -> Result<Git> {
        let access = Access::of(&self.worker, &self.identifier, sessions).await?;
        Ok(Git::new(access, &self.identifier.remote))
    }

    async fn snapshot(&self, sessions: &[String], resolved: &ResolvedGit) -> Result<Ref> {
        let name = format!("git\n{}", self.identifier.key(resolved).digest);
        if let Some(known) = self.worker.store.named(&name)? {
            return Ok(known);
        }
        let git = self.git(sessions).await?;
        let repository = self.repository(&git, sessions, resolved).await?;
        let made =
            checkout::checkout(&self.worker, &git, &repository, &self.identifier, resolved, &self.shown);
        let made = made.await?;
        self.worker.store.set_name(&name, &made)?;
        Ok(made)
    }

    /// The bytes of the commit, and of the tag if it is an annotated one.
    pub(crate) async fn objects(&self, sessions: &[String], resolved: &ResolvedGit) -> Result<Objects> {
        let git = self.git(sessions).await?;
        let repository = self.repository(&git, sessions, resolved).await?;
        objects::read(&git, &repository, resolved).await
    }
}

#[async_trait]
impl Op<Value> for GitOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let resolved = self.resolved(ctx).await?;
        let mut map = CacheMap::new(OpDigest(self.source.identifier.key(resolved).digest), 0);
        map.resolved = Some(resolved.checksum.as_str().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let resolved = self.resolved(ctx).await?;
        let sessions = ctx.sessions();
        tokio::select! {
            () = ctx.stop.cancelled() => Err(Error::Cancelled.into()),
            snapshot = self.source.snapshot(&sessions, resolved) => Ok(vec![Value::Snapshot(snapshot?)]),
        }
    }
}
