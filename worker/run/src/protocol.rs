//! What the daemon and its helper say to each other over one socket pair.
//!
//! ```text
//! daemon                                helper
//!   order (JSON), filter (bytes)  ->
//!   network, process to join (fd) ->    (at most one of them)
//!                                 <-    Started, the process (fd)
//!                                 <-    one of Exited, NotStarted, Failed
//!   end of file                   ->    kill everything, clean up, answer, end
//! ```
//! Where somebody else runs the container:
//! ```text
//!   order (JSON), filter (bytes)  ->
//!                                 <-    Prepared (or Failed)
//!   Started: the first process    ->
//!   Ended                         ->    clean up
//!                                 <-    Cleaned (or Failed)
//! ```
//! A frame is its length (u32, little-endian) and that many bytes. The daemon's end closing, for whatever
//! reason, means "stop": so a daemon that was killed leaves no step behind.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::{Bundle, Exit, Network, NotStarted, ProcessSpec};

/// The helper's name in `argv[0]`, and the descriptor of its end of the socket.
pub(crate) const HELPER_NAME: &str = "slipway-run";
pub(crate) const HELPER_SOCKET: i32 = 3;

/// Secrets and arguments included; far above what a build may bring along.
const MAX_FRAME: usize = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) spec: ProcessSpec,
    pub(crate) hosts: String,
    pub(crate) resolv_conf: String,
    /// The group's parent in the hierarchy, without the `slipway/<id>` that is made in it.
    pub(crate) cgroup_parent: String,
    /// What may be given at all, as a bit set.
    pub(crate) capabilities: u64,
    pub(crate) runtime: Runtime,
}

impl Order {
    /// Whether a network comes along, as a descriptor. One who joins has the container's.
    pub(crate) fn needs_network(&self) -> bool {
        self.spec.network == Network::Private && matches!(self.runtime, Runtime::Builtin | Runtime::Oci(_))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Runtime {
    Builtin,
    Oci(OciRuntime),
    /// Not a container of its own: one more process in one that runs.
    Join(Joined),
    /// The same in a container that an OCI runtime runs, which finds its first process by itself.
    OciJoin(OciRuntime, Joined),
    /// Only made ready, in a directory of the host, for a runtime that somebody else starts.
    Outside(Outside),
}

/// Where a step is made ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outside {
    /// A directory of the daemon's own; each step gets one in it, named by its id.
    pub(crate) state: PathBuf,
}

/// What the helper is told of a container that it did not start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Its first process, to be killed if the daemon goes.
    Started(i32),
    Ended,
}

/// The container to join. Its first process follows the order, as a descriptor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// The id that it was started with.
    pub(crate) id: String,
}

/// How to drive an OCI runtime.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OciRuntime {
    /// Absolute.
    pub(crate) binary: PathBuf,
    /// A directory of the daemon's own; the bundles and the runtime's state live in it.
    pub(crate) state: PathBuf,
    /// Whether `run` knows `--keep`, so that the control group can be looked at before it goes.
    pub(crate) can_keep: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Started,
    Exited(Exit),
    NotStarted(NotStarted),
    Failed(Failure),
    /// A step that somebody else is to run.
    Prepared(Bundle),
    /// Of such a step nothing is left.
    Cleaned,
}

/// A step of the preparation that did not work: "cannot <step>: <reason>".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) reason: String,
}

pub(crate) fn write_frame(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= MAX_FRAME);
    let length = length.ok_or_else(|| invalid("the message is too large"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}

/// The next frame, or none at the end of the stream.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(invalid("the message is too large"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

pub(crate) fn write_message(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    write_frame(to, &serde_json::to_vec(message)?)
}

pub(crate) fn read_message<T: for<'a> Deserialize<'a>>(from: &mut impl Read) -> io::Result<Option<T>> {
    let Some(bytes) = read_frame(from)? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Hands over a descriptor, with one byte to carry it. A frame never ends in the middle of one, so whoever reads
/// frames never takes it for bytes.
pub(crate) fn send_descriptor(to: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The descriptor that follows; none at the end of the stream.
pub(crate) fn receive_descriptor(from: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let received =
        rustix::io::retry_on_intr(|| recvmsg(from, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = descriptors.flatten().next();
    descriptor.map(Some).ok_or_else(|| invalid("a descriptor is missing"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_and_lies_about_length_do_not() {
        let mut stream = Vec::new();
        write_message(&mut stream, &Report::Started).unwrap();
        let mut from = stream.as_slice();
        assert!(matches!(read_message(&mut from).unwrap(), Some(Report::Started)));
        assert!(read_message::<Report>(&mut from).unwrap().is_none());
        assert!(read_frame(&mut u32::MAX.to_le_bytes().as_slice()).is_err());
        assert!(read_frame(&mut [9, 0, 0, 0, 1].as_slice()).is_err());
    }
}
