//! Files for the client, through its session.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use slipway_exporter::files::{Files, TreeFile};
use slipway_exporter::{FileSink, LayoutSink, Outputs};
use slipway_model::Descriptor;
use slipway_proto::fsutil::Stat;
use slipway_session::caller::{FileWriter, Session};
use slipway_session::fsutil::{Source, mode};
use slipway_solver::with_causes;
use slipway_store::layer::tar::Kind;
use tokio::runtime::Handle;

use super::journal::Step;
use crate::engine::Engine;
use crate::telemetry::Metrics;

/// Bytes that are collected before they are sent.
const CHUNK: usize = 256 << 10;

/// The outputs of one exporter.
pub(crate) struct SessionOutputs {
    pub engine: Arc<Engine>,
    pub session: String,
    /// The exporter's place in the request: the client knows its outputs by it.
    pub index: usize,
    pub step: Arc<Step>,
}

impl SessionOutputs {
    async fn session(&self) -> io::Result<Session> {
        self.engine.sessions.get(&self.session).await.map_err(io::Error::other)
    }
}

#[async_trait]
impl Outputs for SessionOutputs {
    async fn file(&self, metadata: &BTreeMap<String, String>) -> io::Result<Box<dyn FileSink>> {
        let session = self.session().await?;
        let writer = session.create_file(self.index, metadata).await.map_err(io::Error::other)?;
        Ok(Box::new(ClientFile {
            writer,
            buffer: BytesMut::with_capacity(CHUNK),
            runtime: Handle::current(),
            transfer: self.step.transfer("sending tarball"),
            metrics: self.engine.metrics.clone(),
            sent: 0,
        }))
    }

    async fn folder(&self, files: Files, is_all: bool) -> io::Result<()> {
        let session = self.session().await?;
        let transfer = self.step.transfer("copying files");
        let files = SentFiles::new(files, self.engine.metrics.clone());
        let sent = session.copy_directory(self.index, files, is_all).await;
        transfer.done();
        sent.map_err(io::Error::other)
    }

    fn begin(&self, what: &str) -> Box<dyn Send + Sync> {
        Box::new(Begun(Some(self.step.transfer(what))))
    }

    async fn layout(&self) -> io::Result<Box<dyn LayoutSink>> {
        let session = self.session().await?;
        let transfer = self.step.transfer("sending layout");
        let metrics = self.engine.metrics.clone();
        Ok(Box::new(ClientLayout { session, runtime: Handle::current(), transfer, metrics, sent: 0 }))
    }
}

/// A part of the export; done when dropped.
struct Begun(Option<super::journal::Transfer>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(transfer) = self.0.take() {
            transfer.done();
        }
    }
}

/// Written from a blocking thread, sent by the runtime.
struct ClientFile {
    writer: FileWriter,
    buffer: BytesMut,
    runtime: Handle,
    transfer: super::journal::Transfer,
    metrics: Arc<Metrics>,
    sent: u64,
}

impl ClientFile {
    fn send(&mut self) -> io::Result<()> {
        let bytes: Bytes = self.buffer.split().freeze();
        self.sent += bytes.len() as u64;
        self.metrics.exported.add(bytes.len());
        self.transfer.at(self.sent, 0);
        self.runtime.block_on(self.writer.write(bytes)).map_err(told)
    }
}

impl Write for ClientFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileSink for ClientFile {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.send()?;
        let Self { writer, runtime, transfer, .. } = *self;
        let finished = runtime.block_on(writer.finish()).map_err(told);
        transfer.done();
        finished
    }
}

/// A client that has the file already says so.
fn told(error: slipway_session::Error) -> io::Error {
    match error.code() {
        Some(tonic::Code::AlreadyExists) => io::Error::new(io::ErrorKind::AlreadyExists, error),
        _ => io::Error::other(error),
    }
}

/// The store that clients offer for `tar=false`, as BuildKit's name it.
const EXPORT_STORE: &str = "export";

/// Written from a blocking thread, sent by the runtime. The index is the client's own to write.
struct ClientLayout {
    session: Session,
    runtime: Handle,
    transfer: super::journal::Transfer,
    metrics: Arc<Metrics>,
    sent: u64,
}

impl LayoutSink for ClientLayout {
    fn blob(&mut self, descriptor: &Descriptor, content: &mut File) -> io::Result<()> {
        let (runtime, digest) = (self.runtime.clone(), &descriptor.digest);
        if runtime.block_on(self.session.has_blob(EXPORT_STORE, digest)).map_err(io::Error::other)? {
            return Ok(());
        }
        let writer = self.session.write_blob(EXPORT_STORE, digest, descriptor.size);
        let mut writer = runtime.block_on(writer).map_err(io::Error::other)?;
        loop {
            let mut chunk = BytesMut::zeroed(CHUNK);
            let length = content.read(&mut chunk)?;
            if length == 0 {
                return runtime.block_on(writer.finish()).map_err(io::Error::other);
            }
            chunk.truncate(length);
            runtime.block_on(writer.write(chunk.freeze())).map_err(io::Error::other)?;
            self.sent += length as u64;
            self.metrics.exported.add(length);
            self.transfer.at(self.sent, 0);
        }
    }

    fn finish(self: Box<Self>, _index: &[u8]) -> io::Result<()> {
        self.transfer.done();
        Ok(())
    }
}

/// A result's files as the transfer protocol has them.
struct SentFiles {
    files: Mutex<Option<Files>>,
    /// Regular files that the client may ask for.
    described: Mutex<HashMap<String, TreeFile>>,
    metrics: Arc<Metrics>,
}

impl SentFiles {
    fn new(files: Files, metrics: Arc<Metrics>) -> Self {
        Self { files: Mutex::new(Some(files)), described: Mutex::default(), metrics }
    }
}

impl Source for SentFiles {
    fn describe(
        &self,
        visit: &mut dyn FnMut(Stat) -> slipway_session::Result<()>,
    ) -> slipway_session::Result<()> {
        let files = self.files.lock().take();
        for file in files.into_iter().flatten() {
            let file = file.map_err(|error| slipway_session::Error::Sender(with_causes(&error)))?;
            let stat = stat(&file)?;
            if file.entry.kind == Kind::File {
                self.described.lock().insert(stat.path.clone(), file);
            }
            visit(stat)?;
        }
        Ok(())
    }

    fn open(&self, path: &str) -> slipway_session::Result<Option<OwnedFd>> {
        let Some(file) = self.described.lock().remove(path) else { return Ok(None) };
        // The client asks for what it does not have: that is sent.
        self.metrics.exported.add(usize::try_from(file.entry.size).unwrap_or(usize::MAX));
        let file = file.open().map_err(|error| slipway_session::Error::Sender(with_causes(&error)))?;
        Ok(Some(OwnedFd::from(file)))
    }
}

fn stat(file: &TreeFile) -> slipway_session::Result<Stat> {
    let entry = &file.entry;
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            let name = String::from_utf8_lossy(bytes).into_owned();
            slipway_session::Error::Protocol(format!("the name {name:?} is not valid UTF-8"))
        })
    };
    let kind = match entry.kind {
        Kind::File | Kind::HardLink => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Symlink => 0o120_000,
        Kind::CharDevice => 0o020_000,
        Kind::BlockDevice => 0o060_000,
        Kind::Fifo => 0o010_000,
    };
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let xattrs = entry.xattrs.iter().filter_map(|(key, value)| {
        Some((String::from_utf8(key.clone()).ok()?, Bytes::copy_from_slice(value)))
    });
    Ok(Stat {
        path: text(&entry.name)?,
        mode: mode::from_unix(kind | entry.mode),
        uid: number(entry.uid),
        gid: number(entry.gid),
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        mod_time: entry.modified.seconds * 1_000_000_000 + i64::from(entry.modified.nanoseconds),
        linkname: text(&entry.link)?,
        devmajor: entry.device_major.into(),
        devminor: entry.device_minor.into(),
        xattrs: xattrs.collect(),
    })
}
