//! Blobs in containerd.
//!
//! A blob is written through the content service, which hashes it as we do, and kept by our lease. It is read from
//! where containerd keeps it, if that is a file of this host (its content plugin says where), and else through the
//! service into a file without a name: whoever reads blobs gets a file in either case.
//!
//! | | asks containerd |
//! |---|---|
//! | to read | whether the namespace has it; then a file is opened |
//! | to write | one stream; 1 MiB a message |
//! | to let go | to take it off the lease |

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_model::BlobDigest;
use slipway_proto::content::content_client::ContentClient;
use slipway_proto::content::{
    AbortRequest, DeleteContentRequest, InfoRequest, ListContentRequest, ListStatusesRequest,
    ReadContentRequest, WriteAction, WriteContentRequest,
};
use slipway_store::Result as StoreResult;
use slipway_store::blob::{Content, Writing};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::client::{LARGEST_MESSAGE, Leased, Server};
use crate::lease::{self, CONTENT};
use crate::{Client, Error, Result};

/// Bytes of one message; containerd takes up to 16 MiB.
const CHUNK: usize = 1 << 20;
/// Messages on their way.
const UNDER_WAY: usize = 4;

/// containerd's content store.
pub struct ContainerdContent {
    client: Client,
    /// Where blobs lie as files, if that is seen from here.
    files: Option<PathBuf>,
    /// For what has to be read through the service.
    temporary: PathBuf,
    next: AtomicU64,
}

impl ContainerdContent {
    /// `root` is the state directory.
    pub fn open(client: Client, server: &Server, root: &Path) -> Self {
        // The folder of blobs itself comes with the first.
        let files = server.content_root().filter(|root| root.is_dir()).map(|root| root.join("blobs"));
        Self { client, files, temporary: root.to_owned(), next: AtomicU64::new(0) }
    }

    fn service(&self) -> ContentClient<Channel> {
        ContentClient::new(self.client.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Its size; `None` if the namespace does not have it.
    fn size(&self, digest: &BlobDigest) -> Result<Option<u64>> {
        let message = InfoRequest { digest: digest.to_string() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        match self.client.call(format!("find {digest}"), async move { service.info(request).await }) {
            Err(error) if error.is_not_found() => Ok(None),
            found => {
                let info = found?.info.ok_or(Error::Incomplete { what: "the size of a blob" })?;
                Ok(u64::try_from(info.size).ok())
            }
        }
    }

    fn file(&self, digest: &BlobDigest) -> Option<PathBuf> {
        let (algorithm, hex) = (digest.0.algorithm(), digest.0.hex());
        self.files.as_ref().map(|files| files.join(algorithm).join(hex))
    }

    /// Copies it into a file without a name.
    fn read(&self, digest: &BlobDigest) -> Result<File> {
        let unreadable = |source| Error::Unreadable { what: digest.to_string(), source };
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.temporary, flags, rustix::fs::Mode::RUSR)
            .map_err(|error| unreadable(error.into()))?;
        let mut file = File::from(file);
        let message = ReadContentRequest { digest: digest.to_string(), ..Default::default() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        let action = format!("read {digest}");
        let mut pieces = self.client.call(action.clone(), async move { service.read(request).await })?;
        loop {
            let (piece, rest) = self.client.wait(async move { (pieces.message().await, pieces) })?;
            pieces = rest;
            let Some(piece) = piece.map_err(Error::refused(action.clone()))? else { break };
            let offset = u64::try_from(piece.offset).unwrap_or(0);
            file.write_all_at(&piece.data, offset).map_err(unreadable)?;
        }
        file.rewind().map_err(unreadable)?;
        Ok(file)
    }
}

impl Content for ContainerdContent {
    fn open(&self, digest: &BlobDigest) -> StoreResult<Option<File>> {
        if self.size(digest)?.is_none() {
            return Ok(None);
        }
        if let Some(path) = self.file(digest)
            && let Ok(file) = File::open(path)
        {
            return Ok(Some(file));
        }
        match self.read(digest) {
            // Removed since it was looked for.
            Err(error) if error.is_not_found() => Ok(None),
            read => Ok(Some(read?)),
        }
    }

    fn path(&self, digest: &BlobDigest) -> StoreResult<Option<PathBuf>> {
        Ok(self.file(digest).filter(|path| path.exists()))
    }

    fn begin(&self) -> StoreResult<Box<dyn Writing>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // The lease is this state directory's alone, and so is the name.
        let name = format!("{}-{}-{number}", self.client.lease(), std::process::id());
        Ok(Box::new(Upload::begin(self.client.clone(), name)))
    }

    fn release(&self, digest: &BlobDigest) -> StoreResult<()> {
        Ok(lease::let_go(&self.client, &digest.to_string(), CONTENT)?)
    }

    fn remove(&self, digest: &BlobDigest) -> StoreResult<()> {
        let message = DeleteContentRequest { digest: digest.to_string() };
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        match self.client.call(format!("remove {digest}"), async move { service.delete(request).await }) {
            Err(error) if error.is_not_found() => {}
            removed => removed?,
        }
        self.release(digest)?;
        // The file itself goes with the garbage. If it stayed, it would be what is found when the blob is stored again.
        Ok(lease::collect(&self.client)?)
    }

    fn list(&self) -> StoreResult<Vec<(BlobDigest, u64)>> {
        let kept = lease::kept(&self.client, CONTENT)?;
        let message = ListContentRequest::default();
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        let all = self.client.call("list blobs", async move {
            let mut pages = service.list(request).await?.into_inner();
            let mut all = Vec::new();
            while let Some(page) = pages.message().await? {
                all.extend(page.info);
            }
            Ok(tonic::Response::new(all))
        })?;
        let ours = all.into_iter().filter(|info| kept.contains(&info.digest));
        Ok(ours
            .filter_map(|info| Some((info.digest.parse().ok()?, u64::try_from(info.size).ok()?)))
            .collect())
    }

    fn clear(&self) -> StoreResult<()> {
        let own = format!("{}-", self.client.lease());
        let message = ListStatusesRequest::default();
        let (mut service, request) = (self.service(), self.client.request(message, Leased::No));
        let listed =
            self.client.call("list unfinished blobs", async move { service.list_statuses(request).await })?;
        let unfinished = listed.statuses.into_iter().filter(|status| status.r#ref.starts_with(&own));
        Ok(unfinished.map(|status| status.r#ref).try_for_each(|name| abort(&self.client, name))?)
    }

    fn adopt(&self, digest: &BlobDigest) -> StoreResult<Option<u64>> {
        let Some(size) = self.size(digest)? else { return Ok(None) };
        match lease::keep(&self.client, &digest.to_string(), CONTENT) {
            Err(error) if error.is_not_found() => Ok(None),
            kept => Ok(kept.map(|()| Some(size))?),
        }
    }
}

fn abort(client: &Client, name: String) -> Result<()> {
    let mut service = ContentClient::new(client.channel());
    let request = client.request(AbortRequest { r#ref: name }, Leased::Yes);
    match client.call("give up a blob", async move { service.abort(request).await }) {
        Err(error) if error.is_not_found() => Ok(()),
        aborted => aborted,
    }
}

/// A blob on its way to containerd.
struct Upload {
    client: Client,
    name: String,
    /// Not sent yet.
    chunk: Vec<u8>,
    /// Bytes sent.
    offset: i64,
    stream: Option<Stream>,
}

/// Messages to containerd, and what comes of them.
struct Stream {
    messages: mpsc::Sender<WriteContentRequest>,
    outcome: tokio::sync::oneshot::Receiver<Result<(), tonic::Status>>,
}

impl Upload {
    fn begin(client: Client, name: String) -> Self {
        Self { client, name, chunk: Vec::new(), offset: 0, stream: None }
    }

    fn message(&self, action: WriteAction) -> WriteContentRequest {
        WriteContentRequest {
            action: action.into(),
            r#ref: self.name.clone(),
            offset: self.offset,
            ..Default::default()
        }
    }

    /// The call begins with the first message.
    fn open(&self) -> Stream {
        let (messages, receiver) = mpsc::channel(UNDER_WAY);
        let (tell, outcome) = tokio::sync::oneshot::channel();
        let mut service = ContentClient::new(self.client.channel());
        let request = self.client.request(ReceiverStream::new(receiver), Leased::Yes);
        self.client.spawn(async move {
            let written = async {
                let mut answers = service.write(request).await?.into_inner();
                while let Some(answer) = answers.message().await? {
                    if answer.action() == WriteAction::Commit {
                        return Ok(());
                    }
                }
                Err(tonic::Status::cancelled("the stream has ended"))
            };
            // Nobody waits for one that was abandoned.
            let _ = tell.send(written.await);
        });
        Stream { messages, outcome }
    }

    fn send(&mut self, message: WriteContentRequest) -> Result<()> {
        let length = message.data.len();
        let Stream { messages, outcome } = self.stream.take().unwrap_or_else(|| self.open());
        let patience = crate::client::PATIENCE;
        let action = || "write a blob".to_owned();
        let (sent, messages) = self
            .client
            .wait(async move { (tokio::time::timeout(patience, messages.send(message)).await, messages) })?;
        match sent {
            Ok(Ok(())) => {
                self.offset += i64::try_from(length).unwrap_or(0);
                self.stream = Some(Stream { messages, outcome });
                Ok(())
            }
            Ok(Err(_)) => Err(ended(self.client.wait(outcome)?)),
            Err(_) => Err(Error::Silent { action: action(), seconds: patience.as_secs() }),
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.chunk).into();
        let message = WriteContentRequest { data, ..self.message(WriteAction::Write) };
        self.send(message)
    }

    /// Whether it is new.
    fn finish(&mut self, digest: &BlobDigest, size: u64) -> Result<bool> {
        self.flush()?;
        let total = i64::try_from(size).unwrap_or(i64::MAX);
        let expected = digest.to_string();
        let message = WriteContentRequest { total, expected, ..self.message(WriteAction::Commit) };
        self.send(message)?;
        let Some(Stream { messages, outcome }) = self.stream.take() else { return Err(Error::Closed) };
        let patience = crate::client::PATIENCE;
        let outcome = self.client.wait(async move { tokio::time::timeout(patience, outcome).await })?;
        drop(messages);
        match outcome {
            Ok(Ok(Ok(()))) => Ok(true),
            Ok(Ok(Err(status))) if status.code() == tonic::Code::AlreadyExists => Ok(false),
            Ok(outcome) => Err(ended(outcome)),
            Err(_) => Err(Error::Silent { action: "commit a blob".into(), seconds: patience.as_secs() }),
        }
    }
}

/// Why a stream ended that should not have.
fn ended(outcome: Result<Result<(), tonic::Status>, tokio::sync::oneshot::error::RecvError>) -> Error {
    match outcome {
        Ok(Err(status)) => Error::refused("write a blob")(status),
        Ok(Ok(())) | Err(_) => Error::Closed,
    }
}

impl Writing for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() >= CHUNK {
            self.flush().map_err(io::Error::other)?;
        }
        let room = CHUNK - self.chunk.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.chunk.write_all(taken)?;
        Ok(taken.len())
    }

    fn commit(&mut self, digest: &BlobDigest, size: u64) -> StoreResult<()> {
        let is_new = self.finish(digest, size)?;
        if !is_new {
            // Of somebody else, perhaps.
            lease::keep(&self.client, &digest.to_string(), CONTENT)?;
            abort(&self.client, self.name.clone())?;
        }
        Ok(())
    }

    fn abandon(&mut self) -> io::Result<()> {
        if self.stream.take().is_none() && self.offset == 0 {
            return Ok(());
        }
        abort(&self.client, self.name.clone()).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for ContainerdContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ContainerdContent").field(&self.client.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use slipway_model::Digest;
    use slipway_tests::Containerd;

    use super::*;

    /// As for a containerd whose files are not of this host.
    #[test]
    fn without_files_blobs_are_read_through_the_service() {
        let Some(containerd) = Containerd::start() else { return };
        let root = tempfile::tempdir().unwrap();
        let client = Client::new(&containerd.address(), "laws", "slipway-laws").unwrap();
        lease::ensure(&client, "").unwrap();
        let server = client.server().unwrap();
        let mut content = ContainerdContent::open(client, &server, root.path());
        assert!(content.files.is_some());
        content.files = None;
        // Several messages, the last not full.
        let bytes: Vec<u8> = (0..3_500_000_u32).map(|number| (number / 251) as u8).collect();
        let digest = BlobDigest(Digest::of(&bytes));
        let mut writing = content.begin().unwrap();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let written = writing.write(left).unwrap();
            left = &left[written..];
        }
        writing.commit(&digest, bytes.len() as u64).unwrap();
        let mut read = Vec::new();
        content.open(&digest).unwrap().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(content.list().unwrap(), [(digest, bytes.len() as u64)]);
        content.remove(&digest).unwrap();
        assert!(content.open(&digest).unwrap().is_none());
    }
}
