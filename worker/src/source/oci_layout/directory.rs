//! A layout that is a directory of this machine.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_model::BlobDigest;
use slipway_registry::LARGEST_MANIFEST;
use slipway_store::inroot;

use super::LayoutReader;
use crate::source::image::Reader;

/// Nothing outside the directory is read, whatever symlinks are in it.
#[derive(Clone)]
pub struct DirectoryLayout {
    root: Arc<OwnedFd>,
}

impl DirectoryLayout {
    /// Blocks, for a moment.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = File::open(path)?;
        if !directory.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root: Arc::new(directory.into()) })
    }

    async fn file(&self, path: PathBuf) -> io::Result<File> {
        let root = self.root.clone();
        let opened = tokio::task::spawn_blocking(move || inroot::open(root.as_ref(), &path)).await;
        opened.map_err(io::Error::other)?.map_err(|error| match error.is_not_found() {
            true => io::Error::new(io::ErrorKind::NotFound, error),
            false => io::Error::other(error),
        })
    }
}

#[async_trait]
impl LayoutReader for DirectoryLayout {
    async fn read_blob(&self, digest: &BlobDigest, offset: u64) -> io::Result<Reader> {
        let path = Path::new("blobs").join(digest.0.algorithm()).join(digest.0.hex());
        let mut file = self.file(path).await?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::pin(tokio::fs::File::from_std(file)))
    }

    async fn index(&self) -> io::Result<Option<Bytes>> {
        let file = match self.file("index.json".into()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_MANIFEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(io::Error::other("index.json is too large"));
        }
        Ok(Some(bytes.into()))
    }
}
