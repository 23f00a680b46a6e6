//! Blobs as files below the root: `blobs/sha256/<first two digits>/<digest>`.
//!
//! A blob is written under a temporary name and renamed; so a name that exists has its whole content.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_model::{BlobDigest, Digest};

use super::content::{Content, Writing};
use crate::error::{At as _, Error, Result, if_exists};
use crate::fault::{self, Point};

pub(crate) struct Files {
    places: Arc<Places>,
    next: AtomicU64,
}

struct Places {
    /// `<root>/blobs/sha256`
    directory: PathBuf,
    /// Where blobs are while they are written.
    unfinished: PathBuf,
}

impl Files {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let places = Places { directory: root.join("blobs/sha256"), unfinished: root.join("ingest") };
        for path in [&places.directory, &places.unfinished] {
            std::fs::create_dir_all(path).at("create", path)?;
        }
        Ok(Self { places: Arc::new(places), next: AtomicU64::new(0) })
    }
}

impl Content for Files {
    fn open(&self, digest: &BlobDigest) -> Result<Option<File>> {
        let path = file_of(&self.places.directory, digest)?;
        if_exists(File::open(&path).at("open", &path))
    }

    fn path(&self, digest: &BlobDigest) -> Result<Option<PathBuf>> {
        file_of(&self.places.directory, digest).map(Some)
    }

    fn begin(&self) -> Result<Box<dyn Writing>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.places.unfinished.join(number.to_string());
        fault::pass(Point::BlobCreate).at("create", &path)?;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).at("create", &path)?;
        Ok(Box::new(Unfinished { places: self.places.clone(), file, path }))
    }

    fn release(&self, digest: &BlobDigest) -> Result<()> {
        let path = file_of(&self.places.directory, digest)?;
        if_exists(unlink(&path)).map(drop)
    }

    fn remove(&self, digest: &BlobDigest) -> Result<()> {
        self.release(digest)
    }

    fn list(&self) -> Result<Vec<(BlobDigest, u64)>> {
        let mut found = Vec::new();
        for path in files_of(&self.places.directory)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(digest) = format!("sha256:{name}").parse::<BlobDigest>() else { continue };
            if let Some(meta) = if_exists(path.metadata().at("stat", &path))? {
                found.push((digest, meta.len()));
            }
        }
        Ok(found)
    }

    fn clear(&self) -> Result<()> {
        let unfinished = &self.places.unfinished;
        for entry in std::fs::read_dir(unfinished).at("list", unfinished)? {
            unlink(&entry.at("list", unfinished)?.path())?;
        }
        Ok(())
    }

    fn adopt(&self, _: &BlobDigest) -> Result<Option<u64>> {
        Ok(None)
    }
}

struct Unfinished {
    places: Arc<Places>,
    file: File,
    path: PathBuf,
}

impl Writing for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn commit(&mut self, digest: &BlobDigest, _: u64) -> Result<()> {
        let path = file_of(&self.places.directory, digest)?;
        if let Some(directory) = path.parent() {
            fault::pass(Point::BlobDirectory).at("create", directory)?;
            std::fs::create_dir_all(directory).at("create", directory)?;
        }
        fault::pass(Point::BlobRename).at("name", &path)?;
        std::fs::rename(&self.path, &path).at("name", &path)
    }

    fn abandon(&mut self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// Where a blob is below `directory`.
pub(crate) fn file_of(directory: &Path, digest: &BlobDigest) -> Result<PathBuf> {
    match digest.0 {
        Digest::Sha256(_) => {
            let hex = digest.0.hex();
            Ok(directory.join(&hex[..2]).join(hex))
        }
        other => Err(Error::Algorithm { digest: Box::new(other) }),
    }
}

/// All files below `top` that are, or are named like, blobs.
pub(crate) fn files_of(top: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for directory in std::fs::read_dir(top).at("list", top)? {
        let directory = directory.at("list", top)?.path();
        for entry in std::fs::read_dir(&directory).at("list", &directory)? {
            files.push(entry.at("list", &directory)?.path());
        }
    }
    Ok(files)
}

fn unlink(path: &Path) -> Result<()> {
    fault::pass(Point::BlobUnlink).at("remove", path)?;
    std::fs::remove_file(path).at("remove", path)
}
