//! eStargz: gzip whose every file is a member of its own, with a table of them at the end, so that readers can fetch
//! single files. The tar is kept as it is, byte for byte, and the table follows it as a tar of its own:
//!
//! ```text
//! ┌ gzip ─────────┐┌ gzip ────────────────┐     ┌ gzip ───────────────────┐┌ 51 bytes ─────────┐
//! header of a file | content, next headers | … | tar of stargz.index.json | where the table is
//! ```
//!
//! The table counts to the uncompressed layer: its diff id is another one than that of the tar.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use base64::Engine as _;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use slipway_model::{BlobDigest, DiffId, Digest, Hasher};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::blocks::{Blocks, stopped};
use super::gzip::join;
use super::{Compressed, Hashing, Producer};
use crate::layer::LayerError;
use crate::layer::tar::{Entry, Kind, Reader, Writer};

/// The annotation of a layer that tells the digest of its table.
pub const TOC_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
/// The annotation of a layer that tells its size before compression.
pub const UNCOMPRESSED_SIZE: &str = "io.containers.estargz.uncompressed-size";

const TABLE: &str = "stargz.index.json";
/// Bytes of a file that are a gzip member at most.
const CHUNK: u64 = 4 << 20;
const LONGEST_NAME: usize = 1 << 20;

pub(super) fn compress(
    level: Option<i32>,
    sink: &mut (dyn Write + Send),
    produce: Box<Producer<'_>>,
) -> Result<Compressed, LayerError> {
    let level =
        level.and_then(|level| u32::try_from(level).ok()).map_or(Compression::default(), Compression::new);
    let (passed, blocks) = sync_channel::<Arc<Vec<u8>>>(4);
    thread::scope(|scope| {
        let writing = scope.spawn(move || write(level, blocks, sink));
        let mut blocks = Blocks::new(|block| passed.send(block).map_err(|_| stopped()));
        let produced = produce(&mut blocks).and_then(|()| blocks.finish().map_err(LayerError::Output));
        if produced.is_err() {
            // What came is not all.
            drop(passed.send(Arc::default()));
        }
        drop(passed);
        match (produced, join(writing)) {
            // The writer had no end to read, or its error is why the producer could not go on.
            (Err(error), written) if written.is_ok() || !is_stopped(&error) => Err(error),
            (_, written) => written,
        }
    })
}

fn is_stopped(error: &LayerError) -> bool {
    matches!(error, LayerError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
}

/// The blocks one after the other; an empty one says that the rest is missing.
struct Input {
    blocks: Receiver<Arc<Vec<u8>>>,
    current: Arc<Vec<u8>>,
    at: usize,
    /// What was read since somebody took it, but for what it `is_apart`.
    raw: Vec<u8>,
    is_apart: bool,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len()
            && let Ok(block) = self.blocks.recv()
        {
            if block.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            (self.current, self.at) = (block, 0);
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, length: usize) {
        if !self.is_apart {
            self.raw.extend_from_slice(&self.current[self.at..self.at + length]);
        }
        self.at += length;
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

fn write(
    level: Compression,
    blocks: Receiver<Arc<Vec<u8>>>,
    sink: &mut (dyn Write + Send),
) -> Result<Compressed, LayerError> {
    let mut out = Members::new(level, sink);
    let input = Input { blocks, current: Arc::default(), at: 0, raw: Vec::new(), is_apart: false };
    let mut tar = Reader::new(input, LONGEST_NAME);
    let mut table = Table { version: 1, entries: Vec::new() };
    while let Some(entry) = tar.next_entry()? {
        out.write(&tar.inner_mut().take_raw())?;
        if entry.name == TABLE.as_bytes() {
            return Err(LayerError::malformed(
                &entry.name,
                "the name is taken by the table of an eStargz layer",
            ));
        }
        let mut row = Row::of(&entry);
        if entry.kind != Kind::File || entry.size == 0 {
            row.digest = (entry.kind == Kind::File).then(|| Digest::of(b"").to_string());
            table.entries.push(row);
            continue;
        }
        let first = table.entries.len();
        let mut whole = Hasher::new();
        let mut chunk: Option<(Row, Hasher)> = None;
        let mut next = Some(row);
        tar.inner_mut().is_apart = true;
        tar.data(|offset, mut bytes| {
            if offset != whole.length() {
                return Err(LayerError::malformed(
                    &entry.name,
                    "a sparse file has no place in an eStargz layer",
                ));
            }
            whole.update(bytes);
            while !bytes.is_empty() {
                let at = match &mut chunk {
                    Some(begun) => begun,
                    none => {
                        let begun = out.length()?;
                        let mut row = next.take().unwrap_or_else(|| Row::chunk(&entry));
                        row.offset = begun;
                        row.chunk_offset = whole.length() - bytes.len() as u64;
                        if entry.size - row.chunk_offset >= CHUNK {
                            row.chunk_size = CHUNK;
                        }
                        none.insert((row, Hasher::new()))
                    }
                };
                let room = usize::try_from(CHUNK - at.1.length()).unwrap_or(usize::MAX);
                let (now, later) = bytes.split_at(bytes.len().min(room));
                at.1.update(now);
                out.write(now)?;
                bytes = later;
                let is_last = whole.length() == entry.size && later.is_empty();
                if at.1.length() == CHUNK || is_last {
                    table.entries.extend(chunk.take().map(Row::hashed));
                }
            }
            Ok(())
        })?;
        if whole.length() != entry.size {
            return Err(LayerError::malformed(&entry.name, "a sparse file has no place in an eStargz layer"));
        }
        table.entries[first].digest = Some(whole.finish().to_string());
        tar.inner_mut().is_apart = false;
    }
    let mut input = tar.into_inner();
    loop {
        out.write(&input.take_raw())?;
        let length = input.fill_buf().map_err(LayerError::Input)?.len();
        if length == 0 {
            break;
        }
        input.consume(length);
    }
    out.finish(&table)
}

impl Input {
    fn take_raw(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.raw)
    }
}

/// Gzip members to the sink.
struct Members<'a> {
    level: Compression,
    out: Open<'a>,
    tar: Hasher,
}

enum Open<'a> {
    Between(Hashing<'a>),
    Within(Box<GzEncoder<Hashing<'a>>>),
    /// A write failed.
    Lost,
}

impl<'a> Members<'a> {
    fn new(level: Compression, sink: &'a mut (dyn Write + Send)) -> Self {
        Self { level, out: Open::Between(Hashing::new(sink)), tar: Hasher::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.tar.update(bytes);
        let mut gzip = match std::mem::replace(&mut self.out, Open::Lost) {
            // No name, no time, unknown system: nothing that would differ between hosts.
            Open::Between(out) => Box::new(GzBuilder::new().operating_system(255).write(out, self.level)),
            Open::Within(gzip) => gzip,
            Open::Lost => return Err(LayerError::Output(stopped())),
        };
        gzip.write_all(bytes).map_err(LayerError::Output)?;
        self.out = Open::Within(gzip);
        Ok(())
    }

    /// Ends the member; the bytes written up to here.
    fn length(&mut self) -> Result<u64, LayerError> {
        let out = match std::mem::replace(&mut self.out, Open::Lost) {
            Open::Between(out) => out,
            Open::Within(gzip) => gzip.finish().map_err(LayerError::Output)?,
            Open::Lost => return Err(LayerError::Output(stopped())),
        };
        let length = out.hasher.length();
        self.out = Open::Between(out);
        Ok(length)
    }

    fn finish(mut self, table: &Table) -> Result<Compressed, LayerError> {
        let begun = self.length()?;
        let json = table.to_json().map_err(|error| LayerError::Output(error.into()))?;
        let mut tar = Writer::new(Vec::new());
        let entry = Entry { size: json.len() as u64, ..Entry::new(Kind::File, TABLE) };
        tar.append(&entry, &mut &json[..])?;
        self.write(&tar.finish()?)?;
        self.length()?;
        let Open::Between(mut out) = self.out else { return Err(LayerError::Output(stopped())) };
        out.write_all(&footer(begun)).and_then(|()| out.flush()).map_err(LayerError::Output)?;
        let uncompressed_size = self.tar.length();
        let (blob, size) = out.finish();
        let diff_id = DiffId(self.tar.finish());
        let table = Some(Digest::of(&json));
        Ok(Compressed { diff_id, blob: BlobDigest(blob), size, uncompressed_size, table })
    }
}

/// An empty gzip member whose header says where the table begins.
fn footer(table: u64) -> Vec<u8> {
    let place = format!("{table:016x}STARGZ");
    let mut bytes = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, b'S', b'G', 22, 0];
    bytes.extend_from_slice(place.as_bytes());
    // A stored block without bytes, no checksum, no length.
    bytes.extend_from_slice(&[1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[derive(Serialize)]
struct Table {
    version: u32,
    entries: Vec<Row>,
}

impl Table {
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut json, format))?;
        Ok(json)
    }
}

/// A file, or a further part of one; as Go writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(rename = "modtime", skip_serializing_if = "String::is_empty")]
    modified: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let modified = OffsetDateTime::from_unix_timestamp(entry.modified.seconds).ok();
        let modified = modified.filter(|time| time.unix_timestamp() != 0);
        let xattr = |(key, value): &(Vec<u8>, Vec<u8>)| {
            (text(key), base64::engine::general_purpose::STANDARD.encode(value))
        };
        Self {
            name: text(&entry.name),
            r#type: match entry.kind {
                Kind::File => "reg",
                Kind::HardLink => "hardlink",
                Kind::Symlink => "symlink",
                Kind::CharDevice => "char",
                Kind::BlockDevice => "block",
                Kind::Directory => "dir",
                Kind::Fifo => "fifo",
            },
            size: entry.size,
            modified: modified.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default(),
            link_name: text(&entry.link),
            mode: entry.mode.into(),
            uid: entry.uid,
            gid: entry.gid,
            offset: 0,
            dev_major: entry.device_major.into(),
            dev_minor: entry.device_minor.into(),
            xattrs: entry.xattrs.iter().map(xattr).collect(),
            digest: None,
            chunk_offset: 0,
            chunk_size: 0,
            chunk_digest: None,
        }
    }

    fn chunk(entry: &Entry) -> Self {
        let name = Entry::new(Kind::File, entry.name.clone());
        Self { r#type: "chunk", ..Self::of(&name) }
    }

    fn hashed((row, hasher): (Self, Hasher)) -> Self {
        Self { chunk_digest: Some(hasher.finish().to_string()), ..row }
    }
}
