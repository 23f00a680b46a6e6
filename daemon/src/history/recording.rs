//! A build's way into the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message as _;
use slipway_model::Descriptor;
use slipway_proto::control::{
    self, BuildHistoryEventType, BuildHistoryRecord, BuildResultInfo, CacheOptionsEntry, Exporter,
};
use slipway_proto::rpc;
use tonic::Code;

use super::error::Result;
use super::table::{self, Named};
use super::{Active, History, Inner, Spool, Untraced, redact};

pub(super) const LOG_TYPE: &str = "application/vnd.buildkit.status.v0";
/// The spelling is BuildKit's.
const ERROR_TYPE: &str = "application/vnd.googeapis.google.rpc.status+proto";

/// What a build was asked.
pub(crate) struct Started {
    pub name: String,
    pub frontend: String,
    pub options: BTreeMap<String, String>,
    pub exporters: Vec<Exporter>,
    pub cache_imports: Vec<CacheOptionsEntry>,
    pub cache_exports: Vec<CacheOptionsEntry>,
}

/// What became of it.
pub(crate) enum Outcome {
    Built {
        response: BTreeMap<String, String>,
        /// Images, by the place of their exporter in the request.
        exported: BTreeMap<usize, Descriptor>,
        /// What is said about results: platform (where they are told apart), predicate type, predicate.
        attestations: Vec<(Option<String>, &'static str, Bytes)>,
    },
    Failed(rpc::Status),
}

/// A build that is being recorded. Dropped without an outcome, it has failed.
pub(crate) struct Recording {
    history: Arc<Inner>,
    record: BuildHistoryRecord,
    spool: Arc<Spool>,
    open: bool,
}

impl History {
    /// Where the build of this name says what it does.
    pub(crate) fn spool(&self, name: &str) -> Spool {
        Spool::new(self.inner.content.spool(name))
    }

    /// The same for a build that is not recorded.
    pub(crate) fn nameless_spool(&self) -> Spool {
        Spool::new(self.inner.content.nameless_spool())
    }

    /// Whether some record has no end yet, or lacks the trace that is being made.
    pub(crate) fn is_recording(&self) -> bool {
        let state = self.inner.state.lock();
        !state.active.is_empty() || !state.untraced.is_empty()
    }

    /// Records that a build runs. An older record of the same name goes.
    pub(crate) fn begin(&self, started: Started, spool: Arc<Spool>) -> Result<Recording> {
        let record = started.into_record();
        let mut state = self.inner.state.lock();
        let mark = self.inner.metadata.mark();
        let orphans = self.inner.metadata.with_epoch(|db, epoch| {
            let orphans = table::delete(db, &record.r#ref)?;
            table::put(db, &record, &[], epoch)?;
            Ok(orphans)
        })?;
        self.inner.remove_content(mark, &orphans.unwrap_or_default())?;
        state.deleted.remove(&record.r#ref);
        let active = Active { record: record.clone(), spool: spool.clone() };
        state.active.insert(record.r#ref.clone(), active);
        self.inner.tell(BuildHistoryEventType::Started, record.clone());
        Ok(Recording { history: self.inner.clone(), record, spool, open: true })
    }
}

impl Started {
    fn into_record(self) -> BuildHistoryRecord {
        let mut options = redact::options(self.options);
        // Clients of BuildKit name the caches they import here; the record has no other place for them.
        for (key, entries) in [("cache-imports", self.cache_imports), ("cache-exports", self.cache_exports)] {
            if !entries.is_empty() && !options.contains_key(key) {
                options.insert(key.to_owned(), redact::cache_options(entries));
            }
        }
        let exporter =
            |exporter: Exporter| Exporter { attrs: redact::attributes(exporter.attrs), ..exporter };
        BuildHistoryRecord {
            r#ref: self.name,
            frontend: self.frontend,
            frontend_attrs: options,
            exporters: self.exporters.into_iter().map(exporter).collect(),
            created_at: Some(SystemTime::now().into()),
            ..BuildHistoryRecord::default()
        }
    }
}

impl Recording {
    /// Ends the record; its trace may follow. Blocks. What cannot be kept is left out, with a warning: the build is
    /// what it is.
    pub(crate) fn complete(mut self, outcome: Outcome) -> Untraced {
        self.end(outcome)
    }

    fn end(&mut self, outcome: Outcome) -> Untraced {
        self.open = false;
        let mut record = std::mem::take(&mut self.record);
        let name = record.r#ref.clone();
        record.completed_at = Some(SystemTime::now().into());
        self.spool.close();
        self.spool.note_steps(&mut record);
        let history = self.history.clone();
        let untraced = {
            let mut state = history.state.lock();
            let mut content = Vec::new();
            self.keep_log(&mut record, &mut content);
            history.keep_outcome(&mut record, outcome, &mut content);
            let written = history.metadata.with_epoch(|db, epoch| table::put(db, &record, &content, epoch));
            if let Err(error) = written {
                tracing::warn!(build = name, %error, "a build is not recorded");
            }
            state.active.remove(&name);
            history.tell(BuildHistoryEventType::Complete, record);
            Untraced::of(&history, &mut state, &name)
        };
        if let Err(error) = (History { inner: history }).enforce_limits() {
            tracing::warn!(%error, "old records of builds are not removed");
        }
        untraced
    }

    fn keep_log(&self, record: &mut BuildHistoryRecord, content: &mut Vec<Named>) {
        let adopted = self.spool.finish().map_err(|error| error.to_string()).and_then(|finished| {
            let adopted = self.history.content.adopt(self.spool.path(), &finished.digest);
            adopted.map(|()| finished).map_err(|error| error.to_string())
        });
        match adopted {
            Ok(finished) => {
                self.spool.keep();
                let digest = finished.digest.to_string();
                content.push((digest.clone(), true));
                record.logs = Some(descriptor(LOG_TYPE, digest, finished.size));
            }
            Err(error) => tracing::warn!(build = record.r#ref, error, "the log of a build is not kept"),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.open {
            let _untraced = self.end(Outcome::Failed(rpc::Status {
                code: Code::Internal.into(),
                message: "the build ended without an outcome".into(),
                details: Vec::new(),
            }));
        }
    }
}

impl Inner {
    fn keep_outcome(&self, record: &mut BuildHistoryRecord, outcome: Outcome, content: &mut Vec<Named>) {
        match outcome {
            Outcome::Built { response, exported, attestations } => {
                record.exporter_response = response;
                record.result = self.keep_results(&exported, content);
                self.keep_attestations(record, attestations, content);
            }
            Outcome::Failed(status) => self.keep_error(record, status, content),
        }
    }

    /// The error as a client gets it, in full as content, and without its details in the record.
    pub(super) fn keep_error(
        &self,
        record: &mut BuildHistoryRecord,
        mut status: rpc::Status,
        content: &mut Vec<Named>,
    ) {
        // The words by which clients tell a cancelled build from one that failed.
        const CANCELLED: &str = "context canceled";
        if status.code == i32::from(Code::Cancelled) && !status.message.contains(CANCELLED) {
            status.message = format!("{CANCELLED}: {}", status.message);
        }
        let bytes = status.encode_to_vec();
        match self.content.put(&bytes) {
            Ok(digest) => {
                content.push((digest.to_string(), true));
                record.external_error = Some(descriptor(ERROR_TYPE, digest.to_string(), bytes.len() as u64));
            }
            Err(error) => {
                tracing::warn!(build = record.r#ref, %error, "the details of an error are not kept")
            }
        }
        record.error = Some(rpc::Status { details: Vec::new(), ..status });
    }

    fn keep_results(
        &self,
        exported: &BTreeMap<usize, Descriptor>,
        content: &mut Vec<Named>,
    ) -> Option<BuildResultInfo> {
        let mut info = BuildResultInfo::default();
        for (index, result) in exported {
            match self.keep_result(result, content) {
                Ok(true) => {
                    let index = i64::try_from(*index).unwrap_or(i64::MAX);
                    info.results.insert(index, wire_descriptor(result));
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a result is not kept"),
            }
        }
        // Older clients look for one result only.
        info.result_deprecated = info.results.values().next().cloned();
        info.result_deprecated.is_some().then_some(info)
    }
}

/// The media type of a predicate in the history.
const IN_TOTO: &str = "application/vnd.in-toto+json";

impl Inner {
    fn keep_attestations(
        &self,
        record: &mut BuildHistoryRecord,
        attestations: Vec<(Option<String>, &'static str, Bytes)>,
        content: &mut Vec<Named>,
    ) {
        for (platform, predicate_type, predicate) in attestations {
            match self.content.put(&predicate) {
                Ok(digest) => {
                    content.push((digest.to_string(), true));
                    let mut kept = descriptor(IN_TOTO, digest.to_string(), predicate.len() as u64);
                    kept.annotations.insert("in-toto.io/predicate-type".into(), predicate_type.into());
                    let info = match platform {
                        Some(platform) => record.results.entry(platform).or_default(),
                        None => record.result.get_or_insert_default(),
                    };
                    info.attestations.push(kept);
                }
                Err(error) => tracing::warn!(build = record.r#ref, %error, "provenance is not kept"),
            }
        }
    }
}

pub(super) fn descriptor(media_type: &str, digest: String, size: u64) -> control::Descriptor {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    control::Descriptor { media_type: media_type.into(), digest, size, annotations: BTreeMap::new() }
}

fn wire_descriptor(of: &Descriptor) -> control::Descriptor {
    let annotations = of.annotations.clone();
    let bare = descriptor(&of.media_type, of.digest.to_string(), of.size);
    control::Descriptor { annotations, ..bare }
}
