//! Reading what records point to.

use std::fs::File;
use std::io;
use std::sync::Arc;

use slipway_model::BlobDigest;
use slipway_proto::control::StatusResponse;

use super::content::ContentInfo;
use super::error::{Error, Result};
use super::update::decode;
use super::{History, frames, table};

/// The log of a build that has ended.
pub(crate) struct Log {
    /// `None`: nothing could be kept of it.
    file: Option<Arc<File>>,
    position: u64,
    end: u64,
}

impl Log {
    /// What was said next; `None` at the end.
    pub(crate) async fn read(&mut self) -> Option<io::Result<StatusResponse>> {
        let (file, position, end) = (self.file.clone()?, self.position, self.end);
        let read = tokio::task::spawn_blocking(move || frames::read(&file, position, end));
        match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(read) => {
                let (response, taken) = read?;
                self.position += taken as u64;
                Some(Ok(response))
            }
            Err(error) => {
                self.file = None;
                Some(Err(error))
            }
        }
    }
}

impl History {
    /// The log of the build `name`; `None` if there is no record of it, or it is still running.
    pub(crate) fn log(&self, name: &str) -> Result<Option<Log>> {
        if self.inner.state.lock().deleted.contains(name) {
            return Ok(None);
        }
        let Some(row) = self.inner.metadata.with(|db| table::get(db, name))? else { return Ok(None) };
        if !row.ended {
            return Ok(None);
        }
        let Some(logs) = decode(&row)?.logs else {
            return Ok(Some(Log { file: None, position: 0, end: 0 }));
        };
        let digest = digest(&logs.digest)?;
        let file = self.inner.content.open_file(&digest)?.ok_or(Error::NoContent(logs.digest))?;
        let end = file.metadata().map_err(|error| Error::io("stat", digest.to_string(), error))?.len();
        Ok(Some(Log { file: Some(Arc::new(file)), position: 0, end }))
    }

    /// What is known of content that some record names.
    pub(crate) fn content_info(&self, text: &str) -> Result<ContentInfo> {
        let missing = || Error::NoContent(text.to_owned());
        let digest = digest(text)?;
        let kept = self.inner.metadata.with(|db| table::content(db, text))?.ok_or_else(missing)?;
        if kept {
            return self.inner.content.info(&digest)?.ok_or_else(missing);
        }
        let file = self.inner.store.blobs().open(&digest)?.ok_or_else(missing)?;
        let found = file.metadata().map_err(|error| Error::io("stat", text, error))?;
        let created = found.modified().map_err(|error| Error::io("stat", text, error))?;
        Ok(ContentInfo { digest, size: found.len(), created })
    }

    /// Content that some record names, for reading.
    pub(crate) fn open_content(&self, text: &str) -> Result<File> {
        let missing = || Error::NoContent(text.to_owned());
        let digest = digest(text)?;
        let file = match self.inner.metadata.with(|db| table::content(db, text))? {
            None => None,
            Some(true) => self.inner.content.open_file(&digest)?,
            Some(false) => self.inner.store.blobs().open(&digest)?,
        };
        file.ok_or_else(missing)
    }

    /// All content that records name and that is there.
    pub(crate) fn all_content(&self) -> Result<Vec<ContentInfo>> {
        let named = self.inner.metadata.with(table::all_content)?;
        let mut found = Vec::with_capacity(named.len());
        for (digest, _) in named {
            match self.content_info(&digest) {
                Ok(info) => found.push(info),
                // A layer that was pruned, a record that was deleted meanwhile.
                Err(Error::NoContent(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

pub(super) fn digest(text: &str) -> Result<BlobDigest> {
    // Whatever is no digest names nothing.
    text.parse().map_err(|_| Error::NoContent(text.chars().take(200).collect()))
}
