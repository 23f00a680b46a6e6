//! A folder with a Dockerfile and what it needs, removed at the end.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub struct Project {
    folder: TempDir,
}

impl Project {
    /// A folder with this Dockerfile, in which `BUSYBOX` stands for the base image `base`.
    pub fn new(base: &str, dockerfile: &str) -> Self {
        Self::empty().file("Dockerfile", dockerfile.replace("BUSYBOX", base))
    }

    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// Writes a file, and the folders it is in.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    pub fn read(&self, path: &str) -> String {
        let path = self.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }
}
