//! Where exports go: the wall to sessions, and folders for those who run in one process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use slipway_model::Descriptor;

use crate::files::Files;

/// A file of the client's, written from a thread that may block.
pub trait FileSink: Write + Send {
    /// All is written; errors of the other side come out here.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// An OCI layout of the client's, written from a thread that may block.
pub trait LayoutSink: Send {
    /// Stores a blob of which `content` has exactly `descriptor.size` bytes. It may be there already.
    fn blob(&mut self, descriptor: &Descriptor, content: &mut File) -> io::Result<()>;

    /// The last call: what the layout's index is to list. A client that writes its own ignores it.
    fn finish(self: Box<Self>, index: &[u8]) -> io::Result<()>;
}

/// What the client of an export takes.
#[async_trait]
pub trait Outputs: Send + Sync {
    /// One file (`oci`, `docker`, `tar`); `metadata` goes ahead of it.
    async fn file(&self, metadata: &BTreeMap<String, String>) -> io::Result<Box<dyn FileSink>>;

    /// A folder: all of `files`, in their order.
    async fn folder(&self, files: Files) -> io::Result<()>;

    /// Tells the client that `what` is under way, until the answer is dropped.
    fn under_way(&self, _what: &str) -> Box<dyn Send> {
        Box::new(())
    }

    /// A content store (`oci` and `docker` with `tar=false`).
    async fn layout(&self) -> io::Result<Box<dyn LayoutSink>>;
}

impl FileSink for File {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

impl FileSink for Vec<u8> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// An OCI layout in a folder of this host.
pub struct LayoutFolder {
    root: PathBuf,
}

impl LayoutFolder {
    pub fn create(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.root.join(format!(".{name}.unfinished"));
        std::fs::write(&unfinished, content)?;
        std::fs::rename(unfinished, self.root.join(name))
    }
}

impl LayoutSink for LayoutFolder {
    fn blob(&mut self, descriptor: &Descriptor, content: &mut File) -> io::Result<()> {
        let digest = descriptor.digest.0;
        let directory = self.root.join("blobs").join(digest.algorithm());
        let path = directory.join(digest.hex());
        if std::fs::metadata(&path).is_ok_and(|there| there.len() == descriptor.size) {
            return Ok(());
        }
        std::fs::create_dir_all(&directory)?;
        let unfinished = directory.join(format!(".{}", digest.hex()));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o644).open(&unfinished)?;
        io::copy(content, &mut file)?;
        std::fs::rename(unfinished, path)
    }

    fn finish(self: Box<Self>, index: &[u8]) -> io::Result<()> {
        self.write("oci-layout", crate::archive::LAYOUT)?;
        self.write("index.json", index)
    }
}
