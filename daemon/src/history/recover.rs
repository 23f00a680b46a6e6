//! Records of builds that a killed daemon has left without an end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use slipway_model::{BlobDigest, Hasher};
use slipway_proto::control::{BuildHistoryRecord, StatusResponse};
use slipway_proto::rpc;
use tonic::Code;

use super::error::{Error, Result};
use super::recording::{LOG_TYPE, descriptor};
use super::table::{self, Named};
use super::tally::{Open, Tally};
use super::update::decode;
use super::{History, Inner, frames};

const INTERRUPTED: &str = "interrupted: the daemon ended before the build did";

impl History {
    /// Ends what has no end, and removes files that nobody names.
    pub(super) fn recover(&self) -> Result<()> {
        let inner = &self.inner;
        if let Some(epoch) = inner.metadata.recovery().drop_after {
            let torn = inner.metadata.with(|db| table::newer_than(db, epoch))?;
            for name in torn {
                inner.metadata.with(|db| table::delete(db, &name))?;
            }
        }
        for row in inner.metadata.with(table::all)? {
            let record = match decode(&row) {
                Ok(record) if row.ended => {
                    drop(record);
                    continue;
                }
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(%error, "it is removed");
                    inner.metadata.with(|db| table::delete(db, &row.name))?;
                    continue;
                }
            };
            inner.interrupted(record)?;
        }
        let named: std::collections::HashSet<String> = inner
            .metadata
            .with(table::all_content)?
            .into_iter()
            .filter_map(|(digest, kept)| kept.then_some(digest))
            .collect();
        inner.metadata.flush()?;
        inner.content.sweep(|digest| named.contains(digest), |_| false)
    }
}

impl Inner {
    /// Ends the record of a build that was cut off, with what it had said.
    fn interrupted(&self, mut record: BuildHistoryRecord) -> Result<()> {
        let path = self.content.spool(&record.r#ref);
        let mut content: Vec<Named> = Vec::new();
        let mut ended = None;
        match rescue(&path) {
            Ok(Some(rescued)) => {
                self.content.adopt(&path, &rescued.digest)?;
                rescued.tally.note(&mut record);
                content.push((rescued.digest.to_string(), true));
                record.logs = Some(descriptor(LOG_TYPE, rescued.digest.to_string(), rescued.size));
                ended = Some(rescued.ended);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(build = record.r#ref, %error, "the log of an interrupted build is lost");
            }
        }
        let ended = ended.map(Into::into).or(record.created_at);
        record.completed_at = ended.or_else(|| Some(SystemTime::now().into()));
        let status =
            rpc::Status { code: Code::Aborted.into(), message: INTERRUPTED.into(), details: Vec::new() };
        self.keep_error(&mut record, status, &mut content);
        Ok(self.metadata.with_epoch(|db, epoch| table::put(db, &record, &content, epoch))?)
    }
}

/// A spool that was cut off, made whole.
struct Rescued {
    digest: BlobDigest,
    size: u64,
    tally: Tally,
    /// When it was last written.
    ended: SystemTime,
}

/// Keeps the whole frames of the spool and ends the steps that were open. `None` if there is no spool.
fn rescue(path: &PathBuf) -> Result<Option<Rescued>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let rescued = rescue_file(&file).map_err(|error| Error::io("read", path, error))?;
    Ok(Some(rescued))
}

fn rescue_file(mut file: &File) -> io::Result<Rescued> {
    let found = file.metadata()?;
    let (end, ended) = (found.len(), found.modified()?);
    let (mut tally, mut open, mut whole) = (Tally::default(), Open::default(), 0);
    // What cannot be read is where the kill has torn it.
    while let Ok(Some((news, taken))) = frames::read(file, whole, end) {
        tally.count(&news);
        open.follow(&news);
        whole += taken as u64;
    }
    let cut_off = StatusResponse {
        vertexes: open
            .into_vertices()
            .map(|vertex| slipway_proto::control::Vertex {
                completed: Some(ended.into()),
                error: INTERRUPTED.into(),
                ..vertex
            })
            .collect(),
        ..StatusResponse::default()
    };
    tally.count(&cut_off);
    file.set_len(whole)?;
    if !cut_off.vertexes.is_empty() {
        let mut bytes = Vec::new();
        frames::append(&mut bytes, &cut_off);
        file.write_all_at(&bytes, whole)?;
    }
    let (mut hasher, mut piece) = (Hasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hasher.update(&piece[..length]),
        }
    }
    let size = hasher.length();
    Ok(Rescued { digest: BlobDigest(hasher.finish()), size, tally, ended })
}
