//! A store with an image in it, and a client that keeps what it is given.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use slipway_exporter::files::Files;
use slipway_exporter::sink::LayoutFolder;
use slipway_exporter::{
    Context, Error, ExportSource, FileSink, LayoutSink, Outputs, PlatformImage, Response, exporter,
};
use slipway_store::{PrepareOptions, Ref, SnapshotterChoice, Store, StoreOptions};

pub(crate) const CONFIG: &str = r#"{"os":"linux","architecture":"amd64",
    "config":{"Env":["A=b"],"Cmd":["/bin/tool"]},
    "history":[{"created_by":"COPY base"},{"created_by":"ENV A=b","empty_layer":true},{"created_by":"RUN tool"}]}"#;

pub(crate) struct Arena {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) client: Arc<Client>,
}

/// Keeps the last file; puts layouts and folders below `root`.
pub(crate) struct Client {
    root: PathBuf,
    file: Arc<Mutex<Vec<u8>>>,
    pub(crate) seen: Mutex<Vec<String>>,
}

/// `None`, with a note, where snapshots cannot be made.
pub(crate) fn arena(snapshotter: SnapshotterChoice) -> Option<Arena> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { snapshotter, ..Default::default() };
    let store = Store::open(&folder.path().join("store"), options).unwrap();
    let client = Client { root: folder.path().join("client"), file: Arc::default(), seen: Mutex::default() };
    std::fs::create_dir(&client.root).unwrap();
    Some(Arena { folder, store, client: Arc::new(client) })
}

impl Arena {
    pub(crate) fn step(&self, parent: Option<&Ref>, what: &str, write: impl FnOnce(&Path)) -> Ref {
        let options = PrepareOptions { description: what.into(), ..Default::default() };
        let active = self.store.prepare(parent, options).unwrap();
        let mounted = active.mount().unwrap();
        write(&PathBuf::from(format!("/proc/self/fd/{}/.", mounted.root().as_raw_fd())));
        drop(mounted);
        active.commit().unwrap()
    }

    /// Two layers: the second changes, adds and deletes.
    pub(crate) fn tree(&self) -> Ref {
        let base = self.step(None, "base", |root| {
            std::fs::create_dir_all(root.join("bin")).unwrap();
            std::fs::write(root.join("bin/tool"), "#!/bin/sh\n").unwrap();
            std::fs::write(root.join("gone"), "x").unwrap();
            std::os::unix::fs::symlink("bin/tool", root.join("link")).unwrap();
        });
        self.step(Some(&base), "RUN tool", |root| {
            std::fs::remove_file(root.join("gone")).unwrap();
            std::fs::create_dir(root.join("etc")).unwrap();
            std::fs::write(root.join("etc/b"), "b").unwrap();
            std::fs::write(root.join("etc/a"), "a".repeat(100_000)).unwrap();
            std::fs::hard_link(root.join("etc/a"), root.join("etc/c")).unwrap();
        })
    }

    pub(crate) fn source(&self) -> ExportSource {
        let image = PlatformImage::new("linux/amd64", Some(self.tree()), CONFIG);
        ExportSource { images: vec![image], ..Default::default() }
    }

    pub(crate) fn context(&self) -> Context {
        Context { store: self.store.clone(), registry: None, images: None, outputs: self.client.clone() }
    }

    pub(crate) async fn export(
        &self,
        kind: &str,
        options: &[(&str, &str)],
        source: &ExportSource,
    ) -> Result<Response, Error> {
        self.export_in(&self.context(), kind, options, source).await
    }

    pub(crate) async fn export_in(
        &self,
        context: &Context,
        kind: &str,
        options: &[(&str, &str)],
        source: &ExportSource,
    ) -> Result<Response, Error> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        exporter(kind, &options)?.export(source, context).await
    }

    /// The file that the client got, as a file.
    pub(crate) fn file(&self) -> PathBuf {
        let path = self.folder.path().join("archive.tar");
        std::fs::write(&path, self.client.file.lock().unwrap().as_slice()).unwrap();
        path
    }

    pub(crate) fn root(&self) -> &Path {
        &self.client.root
    }
}

struct Kept(Vec<u8>, Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileSink for Kept {
    fn finish(self: Box<Self>) -> io::Result<()> {
        *self.1.lock().unwrap() = self.0;
        Ok(())
    }
}

#[async_trait]
impl Outputs for Client {
    async fn file(&self, _: &BTreeMap<String, String>) -> io::Result<Box<dyn FileSink>> {
        Ok(Box::new(Kept(Vec::new(), self.file.clone())))
    }

    async fn folder(&self, files: Files, _: bool) -> io::Result<()> {
        for file in files {
            let file = file.map_err(io::Error::other)?;
            let mut line = format!("{:?} {}", file.entry.kind, file.entry.display());
            if !file.entry.link.is_empty() {
                line += &format!(" -> {}", String::from_utf8_lossy(&file.entry.link));
            }
            if let Ok(mut content) = file.open() {
                line += &format!(" {}", io::copy(&mut content, &mut io::sink())?);
            }
            self.seen.lock().unwrap().push(line);
        }
        Ok(())
    }

    async fn layout(&self) -> io::Result<Box<dyn LayoutSink>> {
        Ok(Box::new(LayoutFolder::create(&self.root)?))
    }
}

/// Runs a program; its output, or `None` if it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}
