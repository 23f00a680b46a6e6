//! The receiving end: compare, ask for what differs, write it.
//!
//! What is already here is known from an index (the stats of the last transfer), not by looking: a
//! receiver that owns its directory needs no stat per file. A changed file is always written as a
//! new inode and a changed directory's files are never touched in place, because other trees may
//! hold hard links to them.
//!
//! Requests in flight are bounded, and a file is opened when its first bytes arrive, so a tree of any
//! size needs few descriptors.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use rustix::fs::FileType;
use slipway_model::{Digest, Hasher};
use slipway_proto::fsutil::packet::PacketType;
use slipway_proto::fsutil::{Packet, Stat};
use tokio::sync::mpsc;
use tonic::Status;

use super::batch::{BatchSender, is, until_last};
use super::index::{compare_paths, is_unchanged};
use super::metadata::Metadata;
use super::mode;
use super::write::Tree;
use crate::{Error, Result};

/// Files asked for and not yet whole.
const MOST_REQUESTS: usize = 1024;
/// Batches between the connection and the disk, and packets of one: what had come by the time it was looked at.
const QUEUE: usize = 4;
const BATCH: usize = 32;
/// More entries than this in one transfer are refused.
const MOST_ENTRIES: usize = 20_000_000;

/// Begins the digest of a file, if one is wanted.
pub type StartHash = Arc<dyn Fn(&Stat) -> Option<Hasher> + Send + Sync>;

/// Whether the file of a path is wanted.
pub type Wanting = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What must be done before anything changes.
pub type BeforeChange = Box<dyn FnOnce() -> std::io::Result<()> + Send>;

/// How a tree is received.
#[derive(Default)]
pub struct ReceiveOptions {
    /// What the directory holds, as the last transfer left it, in transfer order.
    pub index: Vec<Stat>,
    /// Keep what the sender does not have; look at what is there instead of at `index`.
    pub merge: bool,
    /// Ask for all files, also for those that look unchanged.
    pub always: bool,
    /// Which files to ask for, by path; the stats of all go into a file (`.fsutil-metadata`).
    pub only: Option<Wanting>,
    /// Everything belongs to this user and group, whatever the sender says.
    pub owner: Option<(u32, u32)>,
    /// For a file that is about to come: a hasher that has taken what counts before its bytes, if
    /// their digest is wanted.
    pub hasher: Option<StartHash>,
    /// Done once, before the first change to the directory; not at all if nothing changes.
    pub before_change: Option<BeforeChange>,
    /// Told the bytes received so far.
    pub progress: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

/// What a transfer left behind.
#[derive(Debug, Default)]
pub struct Received {
    /// All that the directory now holds, in transfer order: the next transfer's index.
    pub index: Vec<Stat>,
    /// Paths that were written or removed.
    pub changed: Vec<String>,
    /// Whether anything in the directory changed, the times of directories included.
    pub is_changed: bool,
    /// Of the files that came, as far as [`ReceiveOptions::hasher`] wanted them.
    pub digests: HashMap<String, Digest>,
    pub bytes: u64,
}

/// A file on its way.
struct Wanted {
    stat: Stat,
    hasher: Option<Hasher>,
    received: i64,
}

/// Makes the directory `root` equal to what the sender has.
pub async fn receive(
    root: OwnedFd,
    options: ReceiveOptions,
    incoming: impl Stream<Item = std::result::Result<Packet, Status>> + Unpin,
    outgoing: BatchSender,
) -> Result<Received> {
    let (queue, packets) = mpsc::channel(QUEUE);
    let answers = outgoing.clone();
    let writing = tokio::task::spawn_blocking(move || Receiver::new(root, options, answers).run(packets));
    let mut incoming = incoming.ready_chunks(BATCH);
    let mut failed = None;
    while let Some(ready) = incoming.next().await {
        let came = ready.len();
        let (batch, status) = until_last(ready);
        failed = status.map(|status| Error::call("the file transfer", status));
        let is_last =
            batch.len() < came || batch.last().is_some_and(|packet| is(packet, PacketType::PacketErr));
        if queue.send(batch).await.is_err() || is_last {
            break;
        }
    }
    drop(queue);
    let received = writing.await.unwrap_or_else(|error| Err(Error::Connection(error.to_string())));
    match (&received, failed) {
        (Err(Error::Connection(_)), Some(failed)) => return Err(failed),
        (Err(error), _) => {
            let data = error.to_string().into();
            let packet = Packet { r#type: PacketType::PacketErr.into(), data, ..Packet::default() };
            let _ = outgoing.send(vec![packet]).await;
        }
        _ => {}
    }
    received
}

struct Receiver {
    tree: Tree,
    options: ReceiveOptions,
    old: std::iter::Peekable<std::vec::IntoIter<Stat>>,
    answers: BatchSender,
    received: Received,
    /// Asked for, by id.
    wanted: HashMap<u32, Wanted>,
    /// To be asked for when there is room.
    waiting: VecDeque<(u32, Stat)>,
    /// Links are made at the end, when what they name is whole.
    links: Vec<Stat>,
    directories: Vec<Stat>,
    next_id: u32,
    announced: bool,
    metadata: Option<Metadata>,
}

impl Receiver {
    fn new(root: OwnedFd, mut options: ReceiveOptions, answers: BatchSender) -> Self {
        let old = std::mem::take(&mut options.index).into_iter().peekable();
        let metadata = options.only.take().map(Metadata::new);
        Self {
            metadata,
            tree: Tree::new(root),
            options,
            old,
            answers,
            received: Received::default(),
            wanted: HashMap::new(),
            waiting: VecDeque::new(),
            links: Vec::new(),
            directories: Vec::new(),
            next_id: 0,
            announced: false,
        }
    }

    fn run(mut self, mut packets: mpsc::Receiver<Vec<Packet>>) -> Result<Received> {
        while !self.is_complete() {
            let Some(batch) = packets.blocking_recv() else {
                return Err(Error::Connection("the sender left before it sent everything".into()));
            };
            batch.into_iter().try_for_each(|packet| self.take_packet(packet))?;
            self.request()?;
        }
        self.finish()?;
        // Tell the sender before the stream is let go.
        let fin = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
        let _ = self.answers.blocking_send(vec![fin]);
        while packets.blocking_recv().is_some() {}
        Ok(self.received)
    }

    fn take_packet(&mut self, packet: Packet) -> Result<()> {
        match PacketType::try_from(packet.r#type) {
            Ok(PacketType::PacketStat) => match packet.stat {
                Some(stat) => self.announced_file(stat),
                None => self.announced_all(),
            },
            Ok(PacketType::PacketData) => self.data(packet),
            Ok(PacketType::PacketErr) => {
                Err(Error::Sender(String::from_utf8_lossy(&packet.data).into_owned()))
            }
            _ => Err(Error::Protocol("unexpected packet from the sender".into())),
        }
    }

    fn is_complete(&self) -> bool {
        self.announced && self.wanted.is_empty() && self.waiting.is_empty()
    }

    fn announced_file(&mut self, stat: Stat) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.check(&stat)?;
        let Some(metadata) = &mut self.metadata else { return self.take(id, stat) };
        let Some(directories) = metadata.note(&stat) else { return Ok(()) };
        for directory in directories {
            self.take(id, directory)?;
        }
        self.take(id, stat)
    }

    /// Has what was announced, now or when it has come.
    fn take(&mut self, id: u32, mut stat: Stat) -> Result<()> {
        if let Some((uid, gid)) = self.options.owner {
            (stat.uid, stat.gid) = (uid, gid);
        }
        let unchanged = self.catch_up(&stat)?;
        if !unchanged {
            self.about_to_change()?;
            self.received.changed.push(stat.path.clone());
            self.write(id, &stat)?;
        }
        if mode::is_directory(stat.mode) {
            self.directories.push(stat.clone());
        }
        self.received.index.push(stat);
        Ok(())
    }

    fn about_to_change(&mut self) -> Result<()> {
        self.received.is_changed = true;
        let Some(before) = self.options.before_change.take() else { return Ok(()) };
        before().map_err(|error| Error::file("change", ".", error))
    }

    /// Paths must be clean, sorted, and below a directory that was announced.
    fn check(&self, stat: &Stat) -> Result<()> {
        let path = &stat.path;
        let protocol = |reason: &str| Err(Error::Protocol(format!("{reason}: {path:?}")));
        if path.is_empty()
            || path.split('/').any(|part| matches!(part, "" | "." | ".."))
            || path.contains('\0')
        {
            return protocol("invalid path");
        }
        if self.received.index.len() >= MOST_ENTRIES {
            return protocol("too many files");
        }
        match self.received.index.last() {
            Some(last) if compare_paths(&last.path, path).is_ge() => protocol("path is out of order"),
            _ => Ok(()),
        }
    }

    /// Removes what the sender no longer has before `stat`; tells whether `stat` is here unchanged.
    fn catch_up(&mut self, stat: &Stat) -> Result<bool> {
        while let Some(old) = self.old.peek() {
            match compare_paths(&old.path, &stat.path) {
                std::cmp::Ordering::Less => self.remove_next_old()?,
                std::cmp::Ordering::Greater => return Ok(false),
                std::cmp::Ordering::Equal => {
                    let Some(old) = self.old.next() else { return Ok(false) };
                    let asked = self.options.always && mode::has_data(stat.mode);
                    if is_unchanged(&old, stat) && !asked && !self.is_broken_link(stat) {
                        // Times of directories are set in the end.
                        if old.mod_time != stat.mod_time {
                            self.about_to_change()?;
                        }
                        return Ok(true);
                    }
                    if mode::is_directory(old.mode) && !mode::is_directory(stat.mode) {
                        self.skip_old_below(&old.path);
                    }
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// A hard link whose first name was written anew must be made again.
    fn is_broken_link(&self, stat: &Stat) -> bool {
        mode::has_data(stat.mode)
            && !stat.linkname.is_empty()
            && self.received.changed.binary_search_by(|path| compare_paths(path, &stat.linkname)).is_ok()
    }

    fn remove_next_old(&mut self) -> Result<()> {
        if let Some(old) = self.old.next() {
            self.about_to_change()?;
            self.tree.remove(&old.path)?;
            if mode::is_directory(old.mode) {
                self.skip_old_below(&old.path);
            }
            self.received.changed.push(old.path);
        }
        Ok(())
    }

    fn skip_old_below(&mut self, directory: &str) {
        let below = |old: &Stat| old.path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        while self.old.next_if(below).is_some() {}
    }

    fn write(&mut self, id: u32, stat: &Stat) -> Result<()> {
        match mode::file_type(stat.mode) {
            FileType::RegularFile if !stat.linkname.is_empty() => {
                self.links.push(stat.clone());
                Ok(())
            }
            FileType::RegularFile => {
                self.waiting.push_back((id, stat.clone()));
                Ok(())
            }
            FileType::Directory => self.tree.directory(stat),
            FileType::Symlink => self.tree.symlink(stat),
            _ => self.tree.special(stat),
        }
    }

    fn announced_all(&mut self) -> Result<()> {
        self.announced = true;
        if !self.options.merge {
            while self.old.peek().is_some() {
                self.remove_next_old()?;
            }
        }
        Ok(())
    }

    fn request(&mut self) -> Result<()> {
        let mut requests = Vec::new();
        while self.wanted.len() < MOST_REQUESTS {
            let Some((id, stat)) = self.waiting.pop_front() else { break };
            let hasher = self.options.hasher.as_ref().and_then(|hasher| hasher(&stat));
            self.wanted.insert(id, Wanted { stat, hasher, received: 0 });
            requests.push(Packet { r#type: PacketType::PacketReq.into(), id, ..Packet::default() });
        }
        if !requests.is_empty() && self.answers.blocking_send(requests).is_err() {
            return Err(Error::Connection("the sender is gone".into()));
        }
        Ok(())
    }

    fn data(&mut self, packet: Packet) -> Result<()> {
        let Entry::Occupied(mut file) = self.wanted.entry(packet.id) else {
            return Err(Error::Protocol(format!("invalid file request {}", packet.id)));
        };
        if !packet.data.is_empty() {
            self.received.bytes += packet.data.len() as u64;
            if let Some(progress) = &self.options.progress {
                progress(self.received.bytes);
            }
            let Wanted { stat, hasher, received } = file.get_mut();
            *received += packet.data.len() as i64;
            if let Some(hasher) = hasher {
                hasher.update(&packet.data);
            }
            return self.tree.append(packet.id, stat, &packet.data);
        }
        let Wanted { stat, hasher, received } = file.remove();
        self.tree.complete(packet.id, &stat)?;
        // One that changed while it was sent has another size than the hasher was told.
        if let Some(hasher) = hasher
            && received == stat.size
        {
            self.received.digests.insert(stat.path, hasher.finish());
        }
        Ok(())
    }

    /// Links, then the times of directories, which everything above has changed.
    fn finish(&mut self) -> Result<()> {
        if let Some(metadata) = self.metadata.take() {
            self.about_to_change()?;
            let (stat, bytes) = metadata.finish();
            self.tree.append(self.next_id, &stat, &bytes)?;
            self.tree.complete(self.next_id, &stat)?;
            self.received.changed.push(stat.path.clone());
            let index = &mut self.received.index;
            let place = index.partition_point(|other| compare_paths(&other.path, &stat.path).is_lt());
            index.insert(place, stat);
        }
        for link in &self.links {
            self.tree.link(link)?;
        }
        if !self.received.is_changed {
            return Ok(());
        }
        for directory in self.directories.iter().rev() {
            self.tree.set_directory_times(directory)?;
        }
        Ok(())
    }
}
