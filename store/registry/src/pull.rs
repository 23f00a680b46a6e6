//! Pulling a blob: verified while it streams, resumed where it broke off.
//!
//! The last piece is handed out only after the whole was found right, so a reader that takes what
//! it gets until the end never ends with something else than what it asked for. What breaks off is
//! asked for again from where it stopped (`Range`; a server that does not know ranges is read again
//! from the start, and the known part skipped). When one server is given up, the next goes on at
//! the same place: mirrors, the registry, then the descriptor's own `urls` (foreign layers), which
//! get no credentials.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use sha2::Digest as _;
use slipway_model::{Descriptor, Digest, Hasher, Reference};
use tokio::io::AsyncBufRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::StreamReader;
use url::Url;

use crate::auth::Scopes;
use crate::body;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use crate::limit::Lane;
use crate::request::{Call, Target, protocol};

/// A blob on its way. Dropping it ends the transfer.
pub struct BlobStream(BoxStream<'static, Result<Bytes, Error>>);

impl Stream for BlobStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl BlobStream {
    /// As a reader; an [`Error`] is the inner one of the `io::Error`.
    pub fn into_reader(self) -> impl AsyncBufRead + Send + Unpin + 'static {
        StreamReader::new(self.0.map_err(io::Error::other))
    }

    /// All of it in memory: the descriptor's size is the bound, check it before.
    pub async fn collect(mut self) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.0.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

impl Client {
    /// The blob from `offset` on. From zero, digest and size are verified; from elsewhere only the
    /// size can be, and the digest is up to who has the first part.
    pub async fn pull_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, Error> {
        let verifier = (offset == 0).then(|| Verifier::new(descriptor.digest.0));
        self.pull(reference, descriptor, offset, verifier).await
    }

    /// [`Client::pull_blob`] for those who hash every byte themselves: only the size is verified.
    pub async fn pull_unverified(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, Error> {
        self.pull(reference, descriptor, offset, None).await
    }

    /// How large a blob is that is known by its digest only: one HEAD.
    pub async fn blob_size(&self, reference: &Reference, digest: &Digest) -> Result<u64, Error> {
        for mirror in self.mirrors(reference) {
            if let Ok(size) = self.blob_size_at(&mirror, digest).await {
                return Ok(size);
            }
        }
        self.blob_size_at(&self.origin(reference), digest).await
    }

    async fn blob_size_at(&self, endpoint: &Endpoint, digest: &Digest) -> Result<u64, Error> {
        let (target, scopes) =
            (Target::Repository(format!("blobs/{digest}")), Scopes::pull(&endpoint.repository));
        let call = Call::new(Method::HEAD, target, scopes, Self::asked(endpoint, format!("blob {digest}")));
        let place = self.limits.enter(&endpoint.host, Lane::Small).await;
        let response = self.send(endpoint, &call).await?;
        drop(place);
        if response.status() != StatusCode::OK {
            let answer = body::answer(response, &call.asked, self.options.retry.silence).await;
            return Err(Error::from_answer(call.asked, answer));
        }
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        length.ok_or_else(|| protocol(&call.asked, "it does not tell the size"))
    }

    async fn pull(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
        verifier: Option<Verifier>,
    ) -> Result<BlobStream, Error> {
        let mut pull = Pull::new(self, reference, descriptor, offset, verifier);
        if offset > descriptor.size {
            return Err(pull.length(offset));
        }
        if pull.position == pull.size {
            pull.verify()?;
        } else {
            pull.open().await?;
        }
        Ok(BlobStream(stream::try_unfold(pull, Pull::next).boxed()))
    }
}

struct Pull {
    client: Client,
    sources: Vec<(Endpoint, Target)>,
    /// Of `sources`.
    current: usize,
    digest: Digest,
    size: u64,
    position: u64,
    verifier: Option<Verifier>,
    response: Option<reqwest::Response>,
    /// Bytes of the response that were had before.
    skip: u64,
    /// Broken transfers since the last byte.
    failed: u32,
    place: Option<OwnedSemaphorePermit>,
}

impl Pull {
    fn new(
        client: &Client,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
        verifier: Option<Verifier>,
    ) -> Self {
        let blob = Target::Repository(format!("blobs/{}", descriptor.digest));
        let mut sources: Vec<_> =
            client.endpoints(reference).into_iter().map(|endpoint| (endpoint, blob.clone())).collect();
        let urls = descriptor.urls.iter().filter_map(|url| Url::parse(url).ok());
        for url in urls.filter(|url| matches!(url.scheme(), "http" | "https")) {
            sources.push((client.origin(reference), Target::Url(url)));
        }
        Self {
            client: client.clone(),
            sources,
            current: 0,
            digest: descriptor.digest.0,
            size: descriptor.size,
            position: offset,
            verifier,
            response: None,
            skip: 0,
            failed: 0,
            place: None,
        }
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let silence = self.client.options.retry.silence;
        while self.position < self.size {
            if self.response.is_none() {
                self.open().await?;
            }
            let asked = self.asked();
            let Some(response) = self.response.as_mut() else { continue };
            let piece = match body::next_piece(response, &asked, silence).await {
                Ok(Some(piece)) => {
                    self.client.options.traffic.receive(piece.len());
                    self.unseen(piece)
                }
                Ok(None) => {
                    let source = "the transfer ended early".into();
                    self.broke(Error::Unreachable { asked, source, transient: true }).await?;
                    continue;
                }
                Err(error) => {
                    self.broke(error).await?;
                    continue;
                }
            };
            if !piece.is_empty() {
                self.accept(&piece)?;
                return Ok(Some((piece, self)));
            }
        }
        Ok(None)
    }

    /// `piece` without what was had before.
    fn unseen(&mut self, mut piece: Bytes) -> Bytes {
        let known = self.skip.min(piece.len() as u64);
        self.skip -= known;
        // No longer than the piece, so it fits.
        piece.advance(known as usize);
        piece
    }

    fn accept(&mut self, piece: &Bytes) -> Result<(), Error> {
        self.failed = 0;
        self.position += piece.len() as u64;
        if self.position > self.size {
            return Err(self.length(self.position));
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.update(piece);
        }
        if self.position == self.size {
            self.verify()?;
            self.response = None;
            self.place = None;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Error> {
        let Some(actual) = self.verifier.take().map(Verifier::finish) else { return Ok(()) };
        if actual == self.digest {
            return Ok(());
        }
        Err(Error::Corrupt { asked: self.asked(), expected: Box::new(self.digest), actual: Box::new(actual) })
    }

    /// Notes a broken transfer; an error when it is time to give up.
    async fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.response = None;
        self.failed += 1;
        if error.is_transient() && self.failed < self.client.options.retry.attempts {
            tracing::debug!(%error, position = self.position, "resuming");
            tokio::time::sleep(self.client.options.retry.delay(self.failed)).await;
            return Ok(());
        }
        self.next_source(error)
    }

    fn next_source(&mut self, error: Error) -> Result<(), Error> {
        self.place = None;
        if self.current + 1 >= self.sources.len() {
            return Err(error);
        }
        tracing::debug!(%error, "going on elsewhere");
        self.current += 1;
        self.failed = 0;
        Ok(())
    }

    /// Opens the first source, from the current one on, that will serve.
    async fn open(&mut self) -> Result<(), Error> {
        loop {
            match self.open_current().await {
                Ok(response) => {
                    self.response = Some(response);
                    return Ok(());
                }
                Err(error) => self.next_source(error)?,
            }
        }
    }

    async fn open_current(&mut self) -> Result<reqwest::Response, Error> {
        let (endpoint, target) = self.sources[self.current].clone();
        if self.place.is_none() {
            self.place = self.client.limits.enter(&endpoint.host, Lane::Pull).await;
        }
        let scopes = Scopes::pull(&endpoint.repository);
        let mut call = Call::new(Method::GET, target, scopes, self.asked());
        if self.position > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.position));
            call.headers.insert(RANGE, range.map_err(|_| protocol(&call.asked, "bad range"))?);
        }
        let response = self.client.send(&endpoint, &call).await?;
        match response.status() {
            StatusCode::OK => self.skip = self.position,
            StatusCode::PARTIAL_CONTENT => {
                self.skip = 0;
                self.check_range(&response)?;
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(self.length(self.position)),
            _ => {
                let silence = self.client.options.retry.silence;
                let answer = body::answer(response, &call.asked, silence).await;
                return Err(Error::from_answer(call.asked, answer));
            }
        }
        let expected = self.size - self.position + self.skip;
        match response.content_length() {
            Some(length) if length != expected => Err(self.length(length + self.position - self.skip)),
            _ => Ok(response),
        }
    }

    fn check_range(&self, response: &reqwest::Response) -> Result<(), Error> {
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let start =
            range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok());
        if start == Some(self.position) {
            return Ok(());
        }
        Err(protocol(&self.asked(), "it answers with another range than the one asked for"))
    }

    fn asked(&self) -> Asked {
        Client::asked(&self.sources[self.current].0, format!("blob {}", self.digest))
    }

    fn length(&self, actual: u64) -> Error {
        Error::Length { asked: self.asked(), expected: self.size, actual }
    }
}

/// Hashes by the algorithm of the digest that is expected.
pub(crate) enum Verifier {
    Sha256(Hasher),
    Sha512(Box<sha2::Sha512>),
}

impl Verifier {
    pub(crate) fn new(expected: Digest) -> Self {
        match expected {
            Digest::Sha256(_) => Self::Sha256(Hasher::new()),
            Digest::Sha512(_) => Self::Sha512(Box::default()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => hasher.finish(),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }
}
