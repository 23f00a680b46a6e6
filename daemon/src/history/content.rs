//! Files named by their digest, kept for as long as a record names them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use slipway_model::{BlobDigest, Digest};

use super::error::{Error, Result};

pub(super) struct HistoryContent {
    /// `<root>/history/sha256`
    files: PathBuf,
    spools: PathBuf,
    next: AtomicU64,
}

/// What is known of one file.
#[derive(Clone, Debug)]
pub(crate) struct ContentInfo {
    pub digest: BlobDigest,
    /// Bytes.
    pub size: u64,
    pub created: SystemTime,
}

impl HistoryContent {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let (files, spools) = (folder.join("sha256"), folder.join("spool"));
        for path in [&files, &spools] {
            fs::create_dir_all(path).map_err(|error| Error::io("create", path, error))?;
        }
        Ok(Self { files, spools, next: AtomicU64::new(0) })
    }

    /// Where the build of this name spools. Names are made by clients, so the file has another.
    pub(super) fn spool(&self, build: &str) -> PathBuf {
        self.spools.join(Digest::of(build).hex())
    }

    /// For a build that is not recorded.
    pub(super) fn nameless_spool(&self) -> PathBuf {
        self.spools.join(format!("nameless-{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<BlobDigest> {
        let digest = BlobDigest(Digest::of(bytes));
        let unfinished = self.nameless_spool();
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(bytes));
        let named = written.and_then(|()| fs::rename(&unfinished, self.path(&digest)));
        named.map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            Error::io("write", self.path(&digest), error)
        })?;
        Ok(digest)
    }

    /// Makes the file `path`, which has this digest, its own.
    pub(super) fn adopt(&self, path: &Path, digest: &BlobDigest) -> Result<()> {
        fs::rename(path, self.path(digest)).map_err(|error| Error::io("name", path, error))
    }

    pub(super) fn open_file(&self, digest: &BlobDigest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path, error)),
        }
    }

    pub(super) fn info(&self, digest: &BlobDigest) -> Result<Option<ContentInfo>> {
        let path = self.path(digest);
        match path.metadata() {
            Ok(found) => {
                let created = found.modified().map_err(|error| Error::io("stat", path, error))?;
                Ok(Some(ContentInfo { digest: *digest, size: found.len(), created }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("stat", path, error)),
        }
    }

    /// Fine if it is not here.
    pub(super) fn remove(&self, digest: &BlobDigest) {
        let path = self.path(digest);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a file of the history stays until the next start");
        }
    }

    /// Removes files that are neither content for which `wanted` holds nor a wanted spool.
    pub(super) fn sweep(
        &self,
        wanted: impl Fn(&str) -> bool,
        wanted_spool: impl Fn(&Path) -> bool,
    ) -> Result<()> {
        for path in list(&self.files)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !wanted(&format!("sha256:{name}")) {
                fs::remove_file(&path).map_err(|error| Error::io("remove", path, error))?;
            }
        }
        for path in list(&self.spools)?.into_iter().filter(|path| !wanted_spool(path)) {
            fs::remove_file(&path).map_err(|error| Error::io("remove", path, error))?;
        }
        Ok(())
    }

    /// Only SHA-256 is ever stored; another digest names a file that is not there.
    fn path(&self, digest: &BlobDigest) -> PathBuf {
        self.files.join(digest.0.hex())
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = |error| Error::io("list", folder, error);
    fs::read_dir(folder)
        .map_err(listed)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(listed))
        .collect()
}
