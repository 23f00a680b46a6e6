//! A client's directory: `local://NAME`.
//!
//! ```text
//! exec   session --files--> a directory of ours, kept by (client, name, what was asked for)
//! ```
//!
//! Only the session that offers a directory can name it, so its key never persists; what consumers
//! match is its content. The received directory is kept for the next build, which then is sent only
//! what changed; while a build uses it, another one that would receive into it gets a second one.
//!
//! Beside the directory lies the *index*: what the last transfer left in it. It is removed before a
//! transfer and written after it, so a directory without an index holds an unknown rest of a broken
//! transfer and is emptied first.

use std::collections::HashSet;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use slipway_model::Digest;
use slipway_model::llb::pb;
use slipway_model::mount::Tree;
use slipway_model::pattern::PatternMatcher;
use slipway_proto::fsutil::Stat;
use slipway_session::caller::{Session, SyncRequest};
use slipway_session::fsutil::{ReceiveOptions, Received, Wanting, mode};
use slipway_solver::progress::Status;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::content_hash::{ContentCache, EntryHeader, EntryKind, Manifest, Selector};
use slipway_store::{CacheMount, Mounted};

use super::links::Links;
use crate::blocking::blocking;
use crate::ops::cache_key::source::LocalIdentifier;
use crate::{Error, Result, Value, Worker};

/// Inside the kept directory: the client's files, what they are, their digests, and where they are linked.
const FILES: &str = "files";
const INDEX: &str = "index";
const DIGESTS: &str = "digests";
const LINKS: &str = "links";

pub(crate) struct LocalOp {
    worker: Arc<Worker>,
    identifier: LocalIdentifier,
    /// The files to send where only metadata is sent.
    wanted: Arc<PatternMatcher>,
}

impl LocalOp {
    pub(crate) fn new(worker: Arc<Worker>, name: &str, source: &pb::SourceOp) -> Result<Self> {
        let identifier =
            LocalIdentifier::parse(name, source).map_err(|error| Error::Failed(error.to_string()))?;
        let wanted = identifier.metadata_exceptions.iter().flatten();
        let wanted = PatternMatcher::new(wanted).map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Self { worker, identifier, wanted: Arc::new(wanted) })
    }

    async fn session(&self, ctx: &OpContext<Value>) -> Result<Session> {
        let ids = match &self.identifier.session {
            Some(session) => vec![session.clone()],
            None => ctx.sessions(),
        };
        Ok(self.worker.sessions.any(&ids).await?)
    }

    /// Which of our directories: the client's build root, the name, and everything that was asked for.
    fn directory_key(&self, session: &Session) -> String {
        let LocalIdentifier { name, shared_key_hint, include, exclude, follow, .. } = &self.identifier;
        let LocalIdentifier { metadata_only, metadata_exceptions, .. } = &self.identifier;
        let asked = format!("{include:?}{exclude:?}{follow:?}{metadata_only}{metadata_exceptions:?}");
        let asked = Digest::of(asked);
        format!("{name}\n{shared_key_hint}\n{}\n{}", session.shared_key(), asked.hex())
    }

    fn request(&self) -> SyncRequest {
        SyncRequest {
            name: self.identifier.name.clone(),
            include: self.identifier.include.clone().unwrap_or_default(),
            exclude: self.identifier.exclude.clone().unwrap_or_default(),
            follow: self.identifier.follow.clone().unwrap_or_default(),
        }
    }

    fn only(&self) -> Option<Wanting> {
        let wanted = self.wanted.clone();
        let is_wanted = move |path: &str| !wanted.is_empty() && wanted.matches(path).unwrap_or(false);
        self.identifier.metadata_only.then(|| Arc::new(is_wanted) as Wanting)
    }

    async fn receive(&self, ctx: &OpContext<Value>, session: &Session) -> Result<Context> {
        let description = format!("local source for {}", self.identifier.name);
        let key = self.directory_key(session);
        let directory = self.worker.store.source_directory(&key, &description).await?;
        let Kept { directory, root, index, digests, links } = blocking(move || Kept::open(directory)).await?;
        let transfer = Arc::new(Transfer::new(ctx, &self.identifier.name));
        let telling = transfer.clone();
        let options = ReceiveOptions {
            index,
            always: self.identifier.always_differ,
            only: self.only(),
            hasher: Some(Arc::new(|stat| header(stat).map(|header| header.hasher()))),
            progress: Some(Arc::new(move |bytes| telling.at(bytes))),
            ..ReceiveOptions::default()
        };
        let received = tokio::select! {
            () = ctx.stop.cancelled() => return Err(Error::Cancelled),
            received = session.sync(self.request(), root, options) => received?,
        };
        transfer.done();
        blocking(move || Context::new(directory, &received, digests, links)).await
    }
}

#[async_trait]
impl Op<Value> for LocalOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let session = self.session(ctx).await?;
        let key = self.identifier.key(session.id());
        let mut map = CacheMap::new(OpDigest(key.digest), 0);
        map.persistent = key.persistent;
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let session = self.session(ctx).await?;
        let context = self.receive(ctx, &session).await?;
        Ok(vec![Value::Context(Arc::new(context))])
    }
}

/// A directory as an earlier build left it.
struct Kept {
    directory: CacheMount,
    root: OwnedFd,
    index: Vec<Stat>,
    digests: ContentCache,
    links: Links,
}

impl Kept {
    /// Opens the files and takes the index away: until the transfer is over, nothing is known of them.
    fn open(directory: CacheMount) -> Result<Self> {
        let path = directory.directory();
        let failed = |error: std::io::Error| Error::io(format!("cannot use {}", path.display()), error);
        let index = std::fs::read(path.join(INDEX)).ok().and_then(|bytes| read_index(&bytes));
        let digests = std::fs::read(path.join(DIGESTS)).ok();
        let digests = digests.and_then(|bytes| ContentCache::from_bytes(&bytes, None).ok());
        let links = std::fs::read(path.join(LINKS)).ok().and_then(|bytes| Links::from_bytes(&bytes));
        // They are of no use without each other.
        let (index, known) = match (index, digests, links) {
            (Some(index), Some(digests), Some(links)) => (Some(index), Some((digests, links))),
            _ => (None, None),
        };
        remove_file(&path.join(INDEX)).map_err(failed)?;
        remove_file(&path.join(DIGESTS)).map_err(failed)?;
        remove_file(&path.join(LINKS)).map_err(failed)?;
        let files = path.join(FILES);
        if index.is_none() && files.exists() {
            std::fs::remove_dir_all(&files).map_err(failed)?;
        }
        if index.is_none() {
            std::fs::create_dir(&files).map_err(failed)?;
        }
        let root = open_directory(&files).map_err(failed)?;
        let (digests, links) = known.unwrap_or_else(|| (ContentCache::received(), Links::default()));
        Ok(Self { directory, root, index: index.unwrap_or_default(), digests, links })
    }
}

/// A received directory, held by one build until it is done with it.
pub struct Context {
    directory: CacheMount,
    digests: ContentCache,
    links: Links,
    /// Files with several names have no path of their own: they are copied.
    hard_links: bool,
}

impl Context {
    fn new(directory: CacheMount, received: &Received, digests: ContentCache, links: Links) -> Result<Self> {
        learn(&digests, received);
        let path = directory.directory().join(INDEX);
        std::fs::write(&path, write_index(&received.index))
            .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
        let is_link = |stat: &Stat| mode::has_data(stat.mode) && !stat.linkname.is_empty();
        let hard_links = received.index.iter().any(is_link);
        Ok(Self { directory, digests, links, hard_links })
    }

    pub fn tree(&self) -> Tree {
        Tree::Bind { source: self.directory.directory().join(FILES), readonly: true }
    }

    pub fn mount(&self) -> Result<Mounted> {
        Ok(Mounted::new(&self.tree())?)
    }

    /// Where it is kept.
    pub(crate) fn directory(&self) -> &CacheMount {
        &self.directory
    }

    /// Whether snapshots may hold the files at and below `source`, at `target`, without copying them.
    pub(crate) fn may_link(&self, source: &[u8], target: &[u8]) -> bool {
        !self.hard_links && self.links.claim(source, target)
    }

    pub fn content_digest(&self, selectors: &[Selector]) -> Result<Digest> {
        let root = self.mount()?;
        Ok(self.digests.checksum(root.root(), selectors)?)
    }

    /// What `selectors` select, in `root`.
    pub(crate) fn manifest(
        &self,
        root: BorrowedFd<'_>,
        selectors: &[Selector],
        limit: usize,
    ) -> Result<Manifest> {
        Ok(self.digests.manifest(root, selectors, limit)?)
    }
}

impl Drop for Context {
    /// What was hashed need not be hashed again by the next build.
    fn drop(&mut self) {
        for (name, bytes) in [(DIGESTS, self.digests.to_bytes(None)), (LINKS, self.links.to_bytes())] {
            let path = self.directory.directory().join(name);
            if let Err(error) = std::fs::write(&path, bytes) {
                tracing::debug!(%error, path = %path.display(), "what is known of a client's files is not kept");
            }
        }
    }
}

/// Tells `digests` what the transfer has left in the directory.
fn learn(digests: &ContentCache, received: &Received) {
    let mut changed: HashSet<&str> = received.changed.iter().map(String::as_str).collect();
    // A directory that only has another time keeps what is known of its content.
    for stat in received.index.iter() {
        if changed.remove(stat.path.as_str())
            && let Some(header) = header(stat)
        {
            match received.digests.get(&stat.path) {
                Some(digest) => digests.insert(&stat.path, &header, *digest),
                None => digests.announce(&stat.path, &header),
            }
        }
    }
    for gone in changed {
        digests.remove(gone);
    }
}

fn header(stat: &Stat) -> Option<EntryHeader<'_>> {
    let kind = match mode::file_type(stat.mode) {
        FileType::RegularFile => EntryKind::File { size: u64::try_from(stat.size).unwrap_or(0) },
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink { target: stat.linkname.as_bytes().into() },
        FileType::CharacterDevice => EntryKind::CharacterDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        _ => return None,
    };
    let xattrs = stat.xattrs.iter().map(|(key, value)| (key.clone().into_bytes(), value.to_vec())).collect();
    Some(EntryHeader { kind, mode: mode::permissions(stat.mode), uid: stat.uid, gid: stat.gid, xattrs })
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_directory(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// The stats one after the other, each with its length, and a digest of them all in front.
fn write_index(index: &[Stat]) -> Vec<u8> {
    let mut body = Vec::new();
    for stat in index {
        // Writing into a Vec cannot run out of room.
        let _ = stat.encode_length_delimited(&mut body);
    }
    let mut bytes = Digest::of(&body).as_bytes().to_vec();
    bytes.append(&mut body);
    bytes
}

/// `None` if it is not whole.
fn read_index(bytes: &[u8]) -> Option<Vec<Stat>> {
    let (digest, mut body) = bytes.split_at_checked(32)?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let mut index = Vec::new();
    while !body.is_empty() {
        index.push(Stat::decode_length_delimited(&mut body).ok()?);
    }
    Some(index)
}

/// Clients look for this name to tell transfers from other work.
const ACTION: &str = "transferring";

/// Tells the build how much has come, a few times a second, and when that is all.
struct Transfer {
    ctx: OpContext<Value>,
    id: String,
    started: std::time::SystemTime,
    told: parking_lot::Mutex<Told>,
}

#[derive(Default)]
struct Told {
    at: Option<std::time::Instant>,
    /// Bytes that have come, told or not.
    bytes: u64,
}

impl Transfer {
    fn new(ctx: &OpContext<Value>, name: &str) -> Self {
        let (ctx, id) = (ctx.clone(), format!("{ACTION} {name}:"));
        Self { ctx, id, started: std::time::SystemTime::now(), told: Default::default() }
    }

    fn at(&self, bytes: u64) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(150);
        let mut told = self.told.lock();
        told.bytes = bytes;
        if told.at.is_none_or(|at| at.elapsed() >= PAUSE) {
            told.at = Some(std::time::Instant::now());
            self.tell(bytes, None);
        }
    }

    /// Nothing is said of a transfer of nothing.
    fn done(&self) {
        let bytes = self.told.lock().bytes;
        if bytes > 0 {
            self.tell(bytes, Some(std::time::SystemTime::now()));
        }
    }

    fn tell(&self, current: u64, completed: Option<std::time::SystemTime>) {
        let (id, started) = (self.id.clone(), Some(self.started));
        let name = ACTION.to_owned();
        self.ctx.status(Status { id, name, current, started, completed, ..Status::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_index_is_no_index() {
        let stat = Stat { path: "a".into(), size: 3, ..Stat::default() };
        let bytes = write_index(std::slice::from_ref(&stat));
        assert_eq!(read_index(&bytes), Some(vec![stat]));
        assert_eq!(read_index(&bytes[..bytes.len() - 1]), None);
        assert_eq!(read_index(b"short"), None);
        assert_eq!(read_index(&write_index(&[])), Some(Vec::new()));
    }
}
