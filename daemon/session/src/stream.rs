//! The two message streams of `Control.Session` as one byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::Stream;
use slipway_proto::control::BytesMessage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard, PollSender, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tonic::{Status, Streaming};

/// A message carries at most this much; the other side may refuse what is larger than 4 MiB.
const LARGEST_WRITE: usize = 1 << 20;

/// What is written becomes messages of type `T`, made by `wrap`.
pub struct SessionStream<T> {
    incoming: Streaming<BytesMessage>,
    current: Bytes,
    /// Told of the bytes of each message that comes.
    heard: Option<Box<dyn Fn(usize) + Send + Sync>>,
    outgoing: PollSender<T>,
    wrap: fn(BytesMessage) -> T,
    /// When it is pulled, the stream is at its end.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Tells that whoever had the stream is done with it.
    _ended: Option<DropGuard>,
}

impl<T> SessionStream<T> {
    /// It is at its end when `stop` is pulled.
    pub(crate) fn until(mut self, stop: &CancellationToken) -> Self {
        self.stop = Some(Box::pin(stop.clone().cancelled_owned()));
        self
    }
}

impl SessionStream<Result<BytesMessage, Status>> {
    /// The daemon's end: answers are results.
    pub fn server(
        incoming: Streaming<BytesMessage>,
        outgoing: mpsc::Sender<Result<BytesMessage, Status>>,
    ) -> Self {
        Self {
            incoming,
            current: Bytes::new(),
            heard: None,
            outgoing: PollSender::new(outgoing),
            wrap: Ok,
            stop: None,
            _ended: None,
        }
    }

    /// Tells `heard` how many bytes each message holds that comes.
    pub fn telling(mut self, heard: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.heard = Some(Box::new(heard));
        self
    }
}

impl SessionStream<BytesMessage> {
    /// The client's end; it ends when `stop` is pulled, whoever still holds it. `ended` goes with it.
    pub fn client(
        incoming: Streaming<BytesMessage>,
        outgoing: mpsc::Sender<BytesMessage>,
        stop: CancellationToken,
        ended: DropGuard,
    ) -> Self {
        Self {
            incoming,
            current: Bytes::new(),
            heard: None,
            outgoing: PollSender::new(outgoing),
            wrap: |message| message,
            stop: Some(Box::pin(stop.cancelled_owned())),
            _ended: Some(ended),
        }
    }
}

impl<T: Send + 'static> AsyncRead for SessionStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        while self.current.is_empty() {
            match ready!(Pin::new(&mut self.incoming).poll_next(context)) {
                Some(Ok(message)) => {
                    self.heard.iter().for_each(|heard| heard(message.data.len()));
                    self.current = message.data;
                }
                Some(Err(status)) => return Poll::Ready(Err(io::Error::other(status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = buffer.remaining().min(self.current.len());
        buffer.put_slice(&self.current[..length]);
        self.current.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: Send + 'static> AsyncWrite for SessionStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.outgoing.poll_reserve(context)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(LARGEST_WRITE);
        let message = (self.wrap)(BytesMessage { data: Bytes::copy_from_slice(&bytes[..length]) });
        match self.outgoing.send_item(message) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

impl<T> Connected for SessionStream<T> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// Percent-encoding as in a URL query, for metadata values that are not ASCII.
pub(crate) fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The reverse of [`query_escape`]; `None` for what is not an escaped text.
pub(crate) fn query_unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push((high << 4 | low) as u8);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}
