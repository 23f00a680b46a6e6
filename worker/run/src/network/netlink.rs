//! Asking the kernel about links, addresses and routes: rtnetlink, as much of it as a bridge takes.
//!
//! A request is a header, a fixed part that depends on its kind, and attributes: length, kind, value, padded to
//! four bytes, some of them holding attributes themselves. All integers are the machine's own. The kernel answers
//! with messages of the same form and, since each request asks for that, with an error number that is 0 if all
//! went well (`man 7 rtnetlink`, `man 7 netlink`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A conversation with one network namespace: the one that the thread was in when it was opened.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

const HEADER: usize = 16;
/// Larger than any answer that describes one link.
const ANSWER: usize = 64 << 10;
/// `nlmsg_flags`, of `linux/netlink.h`.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
pub(super) const DUMP: u16 = 0x300;
pub(super) const CREATE_NEW: u16 = 0x600;
/// `nlmsg_type`s of answers that are none.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLA_TYPE_MASK`: the upper bits of an attribute's kind say how it is written.
const KIND: u16 = 0x3fff;

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self(socket))
    }

    /// Sends a request and waits for all that answers it; each answer without its header.
    pub(super) fn ask(&self, message: Message) -> io::Result<Vec<Vec<u8>>> {
        let is_dump = message.flags & DUMP == DUMP;
        rustix::net::send(&self.0, &message.finish(), SendFlags::empty())?;
        let (mut answers, mut buffer) = (Vec::new(), vec![0; ANSWER]);
        loop {
            let received = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty())
            })?;
            let mut rest = buffer.get(..received.0).unwrap_or_default();
            while let Some((kind, body, next)) = split_message(rest) {
                match kind {
                    ERROR => return result_of(body).map(|()| answers),
                    DONE if is_dump => return Ok(answers),
                    _ => answers.push(body.to_vec()),
                }
                rest = next;
            }
        }
    }

    /// The same for what has no answer but that it worked.
    pub(super) fn tell(&self, message: Message) -> io::Result<()> {
        self.ask(message).map(drop)
    }
}

/// A request in the making.
pub(super) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    /// `body` is the fixed part.
    pub(super) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        Self { kind, flags, body: body.to_vec() }
    }

    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn with_text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// An attribute that begins with `fixed` and goes on with the attributes that `fill` adds.
    pub(super) fn with_all(self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let inner = fill(Self { kind: 0, flags: 0, body: fixed.to_vec() });
        self.with(kind, &inner.body)
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(((HEADER + self.body.len()) as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((self.flags | REQUEST | ACKNOWLEDGE).to_ne_bytes());
        // Sequence and port: the socket is ours alone and asks one thing at a time.
        bytes.extend([0; 8]);
        bytes.extend(self.body);
        bytes
    }
}

/// The value of the first attribute of that kind.
pub(super) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(number16(attributes, 0)?);
        let kind = number16(attributes, 2)? & KIND;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// A text attribute without its end.
pub(super) fn text(attributes: &[u8], wanted: u16) -> Option<String> {
    let bytes = attribute(attributes, wanted)?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    Some(String::from_utf8_lossy(bytes).into_owned())
}

pub(super) fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// Kind and body of the first message, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = number32(bytes, 0)? as usize;
    let body = bytes.get(HEADER..length)?;
    Some((number16(bytes, 4)?, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn result_of(body: &[u8]) -> io::Result<()> {
    match number32(body, 0).map(|number| number as i32) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again() {
        let message = Message::new(16, 0, &[7; 4])
            .with_text(3, "eth0")
            .with(9, &1u32.to_ne_bytes())
            .with_all(18, &[], |inner| inner.with_text(1, "veth").with(2, &[5]));
        let body = &message.body[4..];
        assert_eq!(text(body, 3).as_deref(), Some("eth0"));
        assert_eq!(number32(attribute(body, 9).unwrap(), 0), Some(1));
        let inner = attribute(body, 18).unwrap();
        assert_eq!(text(inner, 1).as_deref(), Some("veth"));
        assert_eq!(attribute(inner, 2), Some(&[5][..]));
        assert_eq!(attribute(body, 77), None);
    }

    #[test]
    fn lengths_that_lie_end_the_search() {
        for bytes in [&[0, 0, 1, 0][..], &[255, 0, 1, 0, 1], &[3, 0, 9, 0], &[4]] {
            assert_eq!(attribute(bytes, 1).filter(|value| !value.is_empty()), None);
        }
        assert!(split_message(&[200, 0, 0, 0, 1, 0]).is_none());
    }
}
