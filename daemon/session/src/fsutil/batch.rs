//! Packets on their way, in batches.
//!
//! A tree is thousands of small packets. Handed on one by one, each would wake a task, and become a frame and a write
//! of its own; together they cost about as much as one.

use futures::{Stream, StreamExt};
use slipway_proto::fsutil::Packet;
use slipway_proto::fsutil::packet::PacketType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{Error, Result};

/// Batches between a disk and a connection.
const QUEUE: usize = 8;
/// A batch is handed on when it holds this many packets, or bytes.
const MOST_PACKETS: usize = 128;
const MOST_BYTES: usize = 256 << 10;

/// Takes packets together; [`channel`] makes one.
pub type BatchSender = mpsc::Sender<Vec<Packet>>;

/// Packets that are sent in batches come out one by one.
pub fn channel() -> (BatchSender, impl Stream<Item = Packet> + Send + Unpin + 'static) {
    let (sender, batches) = mpsc::channel(QUEUE);
    (sender, ReceiverStream::new(batches).flat_map(futures::stream::iter))
}

/// Packets that a thread makes, until they are enough.
pub(super) struct Gathering<'a> {
    outgoing: &'a BatchSender,
    batch: Vec<Packet>,
    bytes: usize,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(outgoing: &'a BatchSender) -> Self {
        Self { outgoing, batch: Vec::new(), bytes: 0 }
    }

    /// Waits for room if the receiver is slow. To be called by threads that may wait.
    pub(super) fn push(&mut self, packet: Packet) -> Result<()> {
        self.bytes += packet.data.len();
        self.batch.push(packet);
        if self.batch.len() < MOST_PACKETS && self.bytes < MOST_BYTES { Ok(()) } else { self.flush() }
    }

    /// Hands on what there is. What is dropped without is not sent.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.outgoing.blocking_send(batch).map_err(|_| Error::Connection("the receiver is gone".into()))
    }
}

/// The packets before the end, or before the failure that is told beside them. An error of the sender is the last.
pub(super) fn until_last(ready: Vec<std::result::Result<Packet, Status>>) -> (Vec<Packet>, Option<Status>) {
    let mut batch = Vec::with_capacity(ready.len());
    for packet in ready {
        match packet {
            Ok(packet) if is(&packet, PacketType::PacketFin) => break,
            Ok(packet) => {
                let failed = is(&packet, PacketType::PacketErr);
                batch.push(packet);
                if failed {
                    break;
                }
            }
            Err(status) => return (batch, Some(status)),
        }
    }
    (batch, None)
}

pub(super) fn is(packet: &Packet, kind: PacketType) -> bool {
    packet.r#type == i32::from(kind)
}
