//! The sending end: say what is there, then send what is asked for.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use slipway_proto::fsutil::packet::PacketType;
use slipway_proto::fsutil::{Packet, Stat};
use tokio::sync::mpsc;
use tonic::Status;

use super::batch::{BatchSender, Gathering};
use super::{Filter, mode, walk};
use crate::{Error, Result};

/// Bytes of one DATA packet.
const CHUNK: usize = 256 << 10;
/// Requests that wait to be read from disk.
const QUEUE: usize = 1024;

/// A tree that can be sent.
pub trait Source: Send + Sync + 'static {
    /// Describes every file, in transfer order.
    fn describe(&self, visit: &mut dyn FnMut(Stat) -> Result<()>) -> Result<()>;

    /// Opens a regular file that was described. `None`: it is gone, and is sent as empty.
    fn open(&self, path: &str) -> Result<Option<OwnedFd>>;
}

/// Changes a description before it is sent; `false` leaves the file out.
pub type MapStat = Box<dyn Fn(&mut Stat) -> bool + Send + Sync>;

/// A directory of this host, filtered.
pub struct Directory {
    pub root: OwnedFd,
    pub filter: Filter,
    pub map: Option<MapStat>,
}

impl Source for Directory {
    fn describe(&self, visit: &mut dyn FnMut(Stat) -> Result<()>) -> Result<()> {
        walk::walk(self.root.as_fd(), &self.filter, &mut |mut stat| match &self.map {
            Some(map) if !map(&mut stat) => Ok(()),
            _ => visit(stat),
        })
    }

    fn open(&self, path: &str) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(Error::file("open", path, error)),
        }
    }
}

/// Sends `source` as packets into `outgoing`, serving the requests in `incoming`.
pub async fn send(
    source: impl Source,
    mut incoming: impl Stream<Item = std::result::Result<Packet, Status>> + Unpin,
    outgoing: BatchSender,
) -> Result<()> {
    let source = Arc::new(source);
    let files = Arc::new(Mutex::new(HashMap::new()));
    let walking = tokio::task::spawn_blocking({
        let (source, files, outgoing) = (source.clone(), files.clone(), outgoing.clone());
        move || announce(&*source, &files, &outgoing)
    });
    let (queue, requests) = mpsc::channel(QUEUE);
    let reading = tokio::task::spawn_blocking({
        let outgoing = outgoing.clone();
        move || serve(&*source, requests, &outgoing)
    });
    let asked = answer(&mut incoming, &files, queue).await;
    drop(incoming);
    if asked.is_ok() {
        let _ = outgoing.send(vec![packet(PacketType::PacketFin)]).await;
    }
    drop(outgoing);
    let (walked, read) = (ended(walking.await), ended(reading.await));
    walked.and(read).and(asked)
}

fn ended(outcome: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    outcome.unwrap_or_else(|error| Err(Error::Connection(error.to_string())))
}

fn packet(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}

/// Says what is there; the id of a file is how many were named before it.
fn announce(source: &impl Source, files: &Mutex<HashMap<u32, String>>, outgoing: &BatchSender) -> Result<()> {
    let mut id = 0u32;
    let mut stats = Gathering::new(outgoing);
    let walked = source.describe(&mut |stat| {
        if mode::has_data(stat.mode) {
            files.lock().insert(id, stat.path.clone());
        }
        id += 1;
        stats.push(Packet { stat: Some(stat), ..packet(PacketType::PacketStat) })
    });
    let last = match &walked {
        Ok(()) => packet(PacketType::PacketStat),
        Err(error) => failure(error),
    };
    let told = stats.push(last).and_then(|()| stats.flush());
    walked.and(told)
}

fn failure(error: &Error) -> Packet {
    Packet { data: error.to_string().into(), ..packet(PacketType::PacketErr) }
}

/// Hands requests on until the receiver has all.
async fn answer(
    incoming: &mut (impl Stream<Item = std::result::Result<Packet, Status>> + Unpin),
    files: &Mutex<HashMap<u32, String>>,
    queue: mpsc::Sender<(u32, String)>,
) -> Result<()> {
    while let Some(packet) = incoming.next().await {
        let packet = packet.map_err(|status| Error::call("the file transfer", status))?;
        match PacketType::try_from(packet.r#type) {
            Ok(PacketType::PacketReq) => {
                let path = files.lock().remove(&packet.id);
                let path = path.ok_or_else(|| Error::Protocol(format!("invalid file id {}", packet.id)))?;
                if queue.send((packet.id, path)).await.is_err() {
                    return Err(Error::Connection("reading stopped".into()));
                }
            }
            Ok(PacketType::PacketFin) => return Ok(()),
            Ok(PacketType::PacketErr) => {
                return Err(Error::Receiver(String::from_utf8_lossy(&packet.data).into_owned()));
            }
            _ => return Err(Error::Protocol("unexpected packet from the receiver".into())),
        }
    }
    Err(Error::Connection("the receiver left before it had everything".into()))
}

fn serve(
    source: &impl Source,
    mut requests: mpsc::Receiver<(u32, String)>,
    outgoing: &BatchSender,
) -> Result<()> {
    let mut files = Gathering::new(outgoing);
    // Small files are many: a buffer for each would cost more than its bytes.
    let mut buffer = vec![0; CHUNK];
    while let Some((id, path)) = next(&mut requests, &mut files)? {
        if let Err(error) = send_file(source, id, &path, &mut buffer, &mut files) {
            let _ = files.push(failure(&error)).and_then(|()| files.flush());
            return Err(error);
        }
        files.push(Packet { id, ..packet(PacketType::PacketData) })?;
    }
    Ok(())
}

/// Who must wait for a request sends what was gathered before.
fn next(
    requests: &mut mpsc::Receiver<(u32, String)>,
    files: &mut Gathering<'_>,
) -> Result<Option<(u32, String)>> {
    if let Ok(request) = requests.try_recv() {
        return Ok(Some(request));
    }
    files.flush()?;
    Ok(requests.blocking_recv())
}

/// A file that vanished since it was named is sent as empty, as the reference does. One that may not be read
/// is an error: an empty file in its place would be a lie.
fn send_file(
    source: &impl Source,
    id: u32,
    path: &str,
    buffer: &mut [u8],
    files: &mut Gathering<'_>,
) -> Result<()> {
    let Some(file) = source.open(path)? else { return Ok(()) };
    loop {
        let read = rustix::io::read(&file, &mut *buffer).map_err(|error| Error::file("read", path, error))?;
        let Some(bytes @ [_, ..]) = buffer.get(..read) else { return Ok(()) };
        let data = Bytes::copy_from_slice(bytes);
        files.push(Packet { id, data, ..packet(PacketType::PacketData) })?;
    }
}
