//! What one build decides and knows about where its trees come from.
//!
//! Each source is judged once ([`crate::policy`]) and asked about once: what a frontend was told about an image, a
//! branch or a file is what its graph gets, even if that has changed meanwhile, and costs no second question.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use slipway_model::llb::pb;
use tokio::sync::OnceCell;

use super::git::Commit;
use super::http::Resolved;
use super::image::Pinned;
use super::lock::Lock;
use crate::policy::session::{Decision, MOST_QUESTIONS, Verifier};
use crate::policy::{PolicyError, Rules, name_of};
use crate::{Result, Worker};

/// Answers of a kind that one build remembers; what it asks beyond that is asked each time.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct BuildSources {
    rules: Rules,
    /// The session that is asked about every source.
    verifier: Option<String>,
    /// Of the build's client.
    sessions: Vec<String>,
    must_ask: AtomicBool,
    lock: OnceLock<Lock>,
    admitted: Memo<pb::SourceOp>,
    pub(crate) images: Memo<Arc<Pinned>>,
    pub(crate) commits: Memo<Commit>,
    pub(crate) files: Memo<Resolved>,
}

impl BuildSources {
    /// Of a build of `sessions`, whose sources obey `rules` and the session `verifier`.
    pub fn new(rules: Rules, verifier: Option<String>, sessions: Vec<String>) -> Self {
        Self { rules, verifier, sessions, ..Self::default() }
    }

    pub fn has_policies(&self, more: &Rules) -> bool {
        self.verifier.is_some() || !self.rules.is_empty() || !more.is_empty()
    }

    /// Of the client that builds.
    pub fn sessions(&self) -> Vec<String> {
        self.sessions.clone()
    }

    /// From now on every source is compared with `lock`, or noted in it. Once for each build.
    pub fn set_lock(&self, lock: Lock) {
        let is_first = self.lock.set(lock).is_ok();
        debug_assert!(is_first, "a build reads its lock once");
    }

    pub fn lock(&self) -> Option<&Lock> {
        self.lock.get()
    }

    /// Nothing that was known before will do for a name: everybody is asked, and has to answer.
    pub fn always_ask(&self) {
        self.must_ask.store(true, Ordering::Relaxed);
    }

    pub(crate) fn must_ask(&self) -> bool {
        self.must_ask.load(Ordering::Relaxed)
    }

    /// Forgets what sources stand for, and with it what is kept for the build.
    pub fn forget(&self) {
        self.images.forget();
        self.commits.forget();
        self.files.forget();
    }

    /// The door: `source` as the policies want it, or an error if they do not want it at all.
    pub async fn admit(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        more: &Rules,
        source: &pb::SourceOp,
        platform: Option<&pb::Platform>,
    ) -> Result<pb::SourceOp> {
        if !self.has_policies(more) {
            return Ok(source.clone());
        }
        if !more.is_empty() {
            return self.judge(worker, more, source, platform).await;
        }
        let key = format!("{source:?} {platform:?}");
        self.admitted.get(&key, || self.judge(worker, more, source, platform)).await
    }

    async fn judge(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        more: &Rules,
        source: &pb::SourceOp,
        platform: Option<&pb::Platform>,
    ) -> Result<pb::SourceOp> {
        let known = pb::SourceOp { identifier: name_of(source), attrs: source.attrs.clone() };
        let mut wanted = known.clone();
        let mut left = MOST_QUESTIONS;
        loop {
            self.apply_rules(more, &mut wanted)?;
            let Some(session) = &self.verifier else { break };
            let mut verifier = Verifier { worker, build: self, session, left };
            match verifier.judge(&wanted, platform).await? {
                Decision::Allowed => break,
                Decision::Converted(update) => wanted = update,
            }
            left = verifier.left;
            wanted.identifier = name_of(&wanted);
        }
        // What nobody changed keeps its spelling, and so its vertex.
        Ok(if wanted == known { source.clone() } else { wanted })
    }

    pub(crate) fn apply_rules(&self, more: &Rules, source: &mut pb::SourceOp) -> Result<(), PolicyError> {
        self.rules.apply(more, source)
    }
}

impl fmt::Debug for BuildSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildSources").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Answers by question; who asks what is being asked waits for the answer. Errors are not remembered.
pub(crate) struct Memo<T>(Mutex<HashMap<String, Arc<OnceCell<T>>>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Memo<T> {
    pub(crate) async fn get<F, E>(&self, question: &str, ask: impl FnOnce() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        match self.cell(question) {
            Some(cell) => cell.get_or_try_init(ask).await.cloned(),
            None => ask().await,
        }
    }

    fn cell(&self, question: &str) -> Option<Arc<OnceCell<T>>> {
        let mut known = self.0.lock();
        if let Some(cell) = known.get(question) {
            return Some(cell.clone());
        }
        (known.len() < MOST).then(|| known.entry(question.to_owned()).or_default().clone())
    }

    fn forget(&self) {
        self.0.lock().clear();
    }
}
