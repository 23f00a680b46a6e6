//! Both ends of a session, joined by a real gRPC connection: what one offers, the other gets.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails should fail loudly")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use slipway_model::Redacted;
use slipway_proto::control as wire;
use slipway_proto::control::control_server::{Control, ControlServer};
use slipway_session::SessionStream;
use slipway_session::caller::{Credential, Introduction, Session, Sessions, SocketAccess, SyncRequest};
use slipway_session::fsutil::{Directory, Filter, ReceiveOptions, Received};
use slipway_session::provider::{Agent, CredentialSource, Layout, Output, Provider};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// A daemon that only takes sessions.
#[derive(Clone, Default)]
struct Daemon(Arc<Sessions>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl Control for Daemon {
    type PruneStream = Answers<wire::UsageRecord>;
    type StatusStream = Answers<wire::StatusResponse>;
    type SessionStream = Answers<wire::BytesMessage>;
    type ListenBuildHistoryStream = Answers<wire::BuildHistoryEvent>;

    async fn session(
        &self,
        request: Request<Streaming<wire::BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let introduction = Introduction::from_metadata(request.metadata()).unwrap();
        let (outgoing, answers) = mpsc::channel(16);
        let stream = SessionStream::server(request.into_inner(), outgoing);
        let sessions = self.0.clone();
        tokio::spawn(async move {
            let (session, drive) = Session::connect(introduction, stream).await.unwrap();
            let _entered = sessions.enter(session).unwrap();
            drive.await;
        });
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }

    async fn disk_usage(
        &self,
        _: Request<wire::DiskUsageRequest>,
    ) -> Result<Response<wire::DiskUsageResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn prune(&self, _: Request<wire::PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn solve(&self, _: Request<wire::SolveRequest>) -> Result<Response<wire::SolveResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn status(&self, _: Request<wire::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_workers(
        &self,
        _: Request<wire::ListWorkersRequest>,
    ) -> Result<Response<wire::ListWorkersResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn info(&self, _: Request<wire::InfoRequest>) -> Result<Response<wire::InfoResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn listen_build_history(
        &self,
        _: Request<wire::BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn update_build_history(
        &self,
        _: Request<wire::UpdateBuildHistoryRequest>,
    ) -> Result<Response<wire::UpdateBuildHistoryResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct NoAccounts;

#[async_trait]
impl CredentialSource for NoAccounts {
    async fn credential(&self, host: &str) -> slipway_session::Result<Option<Credential>> {
        Ok((host == "known")
            .then(|| Credential { username: "me".into(), secret: Redacted::new("pass".into()) }))
    }
}

fn provider() -> Provider {
    Provider {
        lock: None,
        id: "session".into(),
        shared_key: "key".into(),
        directories: HashMap::new(),
        outputs: HashMap::new(),
        layouts: HashMap::new(),
        secrets: HashMap::new(),
        agents: HashMap::new(),
        credentials: Arc::new(NoAccounts),
    }
}

/// The daemon's end of a session that `provider` serves. The session ends with the task.
async fn connect(provider: Provider) -> (Session, tokio::task::JoinHandle<()>) {
    let daemon = Daemon::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(ControlServer::new(daemon.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel: Channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let serving = provider.attach(channel).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = serving.await;
    });
    (daemon.0.get("session").await.unwrap(), task)
}

async fn sync(
    session: &Session,
    request: SyncRequest,
    into: &Path,
    index: Vec<slipway_proto::fsutil::Stat>,
) -> Received {
    let root = OwnedFd::from(fs::File::open(into).unwrap());
    session.sync(request, root, ReceiveOptions { index, ..ReceiveOptions::default() }).await.unwrap()
}

fn request(name: &str) -> SyncRequest {
    SyncRequest { name: name.into(), ..SyncRequest::default() }
}

fn paths(received: &Received) -> Vec<&str> {
    received.index.iter().map(|stat| stat.path.as_str()).collect()
}

fn grow(root: &Path) {
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/deep"), "deep").unwrap();
    fs::write(root.join("a-file"), vec![7; 700_000]).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/b/deep", root.join("link")).unwrap();
    fs::hard_link(root.join("a-file"), root.join("second-name")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_arrives_whole_and_then_only_what_changed() {
    let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    grow(from.path());
    let mut offers = provider();
    offers.directories.insert("context".into(), from.path().into());
    let (session, _serving) = connect(offers).await;

    let first = sync(&session, request("context"), into.path(), Vec::new()).await;
    assert_eq!(paths(&first), ["a", "a/b", "a/b/deep", "a-file", "empty", "link", "second-name", "tool"]);
    assert_eq!(fs::read(into.path().join("a-file")).unwrap().len(), 700_000);
    assert_eq!(fs::read_link(into.path().join("link")).unwrap(), Path::new("a/b/deep"));
    assert_eq!(fs::metadata(into.path().join("tool")).unwrap().mode() & 0o777, 0o755);
    let inode = |name: &str| fs::metadata(into.path().join(name)).unwrap().ino();
    assert_eq!(inode("a-file"), inode("second-name"));

    let again = sync(&session, request("context"), into.path(), first.index.clone()).await;
    assert_eq!((again.bytes, again.changed.len(), again.is_changed), (0, 0, false));
    // A directory's own time is all that differs.
    fs::File::open(from.path().join("a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let options = ReceiveOptions {
        index: again.index.clone(),
        before_change: Some(Box::new(move || {
            count.fetch_add(1, Relaxed);
            Ok(())
        })),
        ..ReceiveOptions::default()
    };
    let root = OwnedFd::from(fs::File::open(into.path()).unwrap());
    let again = session.sync(request("context"), root, options).await.unwrap();
    assert_eq!((again.changed.len(), again.is_changed, told.load(Relaxed)), (0, true, 1));
    assert_eq!(fs::metadata(into.path().join("a")).unwrap().mtime(), 0);

    let (kept, replaced) = (inode("tool"), inode("empty"));
    // As another tree would; it also keeps the number from being given to a new file.
    let elsewhere = tempfile::tempdir_in(into.path().parent().unwrap()).unwrap();
    fs::hard_link(into.path().join("empty"), elsewhere.path().join("shared")).unwrap();
    fs::write(from.path().join("empty"), "not any more").unwrap();
    fs::remove_dir_all(from.path().join("a")).unwrap();
    fs::write(from.path().join("a"), "a file now").unwrap();
    let third = sync(&session, request("context"), into.path(), again.index).await;
    assert_eq!(third.changed, ["a", "empty"]);
    assert_eq!(fs::read_to_string(into.path().join("a")).unwrap(), "a file now");
    assert_eq!(inode("tool"), kept, "an unchanged file was touched");
    assert_eq!(fs::read_to_string(elsewhere.path().join("shared")).unwrap(), "", "a shared file was changed");
    assert_ne!(inode("empty"), replaced, "a changed file was written in place: others may link to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_choose_what_is_sent() {
    let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    grow(from.path());
    let mut offers = provider();
    offers.directories.insert("context".into(), from.path().into());
    let (session, _serving) = connect(offers).await;

    let exclude =
        SyncRequest { exclude: vec!["a".into(), "!a/b/deep".into(), "*-*".into()], ..request("context") };
    let received = sync(&session, exclude, into.path(), Vec::new()).await;
    assert_eq!(paths(&received), ["a", "a/b", "a/b/deep", "empty", "link", "tool"]);

    let into = tempfile::tempdir().unwrap();
    let follow = SyncRequest { follow: vec!["link".into()], ..request("context") };
    let received = sync(&session, follow, into.path(), Vec::new()).await;
    assert_eq!(paths(&received), ["a", "a/b", "a/b/deep", "link"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused() {
    let into = tempfile::tempdir().unwrap();
    let (session, _serving) = connect(provider()).await;
    let root = OwnedFd::from(fs::File::open(into.path()).unwrap());
    let error = session.sync(request("etc"), root, ReceiveOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("no access allowed"), "{error}");
    assert!(session.secret("token").await.unwrap().is_none());
    assert!(session.credential("unknown").await.unwrap().is_none());
    assert!(session.create_file(3, &BTreeMap::new()).await.unwrap().finish().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_credentials_are_handed_out() {
    let mut offers = provider();
    offers.secrets.insert("token".into(), Redacted::new(b"s3cret\n".to_vec()));
    let (session, _serving) = connect(offers).await;
    assert_eq!(session.secret("token").await.unwrap().unwrap().expose(), b"s3cret\n");
    assert_eq!(session.credential("known").await.unwrap().unwrap().username, "me");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_directories_go_back() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    grow(from.path());
    fs::write(into.path().join("stays"), "here").unwrap();
    fs::write(into.path().join("tool"), "older").unwrap();
    let file = Shared::default();
    let written = file.clone();
    let mut offers = provider();
    offers.outputs.insert(0, Output::File(Box::new(move |_| Ok(Box::new(written.clone())))));
    offers.outputs.insert(1, Output::Directory(into.path().into()));
    let (session, _serving) = connect(offers).await;

    let mut writer = session.create_file(0, &BTreeMap::new()).await.unwrap();
    writer.write(vec![1; 3 << 20].into()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(file.0.lock().unwrap().len(), 3 << 20);

    let root = OwnedFd::from(fs::File::open(from.path()).unwrap());
    let source = Directory { root, filter: Filter::default(), map: None };
    session.copy_directory(1, source, false).await.unwrap();
    assert_eq!(fs::read_to_string(into.path().join("a/b/deep")).unwrap(), "deep");
    assert_eq!(fs::read_to_string(into.path().join("tool")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::read_to_string(into.path().join("stays")).unwrap(), "here");
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_of_a_layout_are_read_from_any_offset() {
    let layout = tempfile::tempdir().unwrap();
    let blob = vec![5; 1_500_000];
    let digest = slipway_model::BlobDigest(slipway_model::Digest::of(&blob));
    fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
    fs::write(layout.path().join("blobs/sha256").join(digest.0.hex()), &blob).unwrap();
    let mut offers = provider();
    let mine = Layout { folder: layout.path().into(), writable: false };
    offers.layouts.insert("mine".into(), mine);
    let (session, _serving) = connect(offers).await;
    let length = async |store: &str, offset| {
        let pieces = session.read_blob(store, &digest, offset).await?;
        futures::TryStreamExt::try_fold(pieces, 0, |sum, piece| async move { Ok(sum + piece.len()) }).await
    };
    assert_eq!(length("mine", 0).await.unwrap(), 1_500_000);
    assert_eq!(length("mine", 1_000_000).await.unwrap(), 500_000);
    assert!(length("other", 0).await.unwrap_err().to_string().contains("unknown store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_into_a_layout_that_takes_them() {
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut offers = provider();
    offers.layouts.insert("open".into(), Layout { folder: open.path().into(), writable: true });
    offers.layouts.insert("closed".into(), Layout { folder: closed.path().into(), writable: false });
    let (session, _serving) = connect(offers).await;
    let blob = bytes::Bytes::from(vec![9; 2_500_000]);
    let digest = slipway_model::BlobDigest(slipway_model::Digest::of(&blob));
    let write = async |store: &str, bytes: bytes::Bytes| {
        let mut writer = session.write_blob(store, &digest, 2_500_000).await?;
        writer.write(bytes).await?;
        writer.finish().await
    };
    let path = open.path().join("blobs/sha256").join(digest.0.hex());

    let refused = write("closed", blob.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    let short = write("open", blob.slice(1..)).await.unwrap_err();
    assert!(short.to_string().contains("2499999 of 2500000 bytes came"), "{short}");
    let other = write("open", vec![8; 2_500_000].into()).await.unwrap_err();
    assert!(other.to_string().contains("expected sha256:"), "{other}");
    assert!(!path.exists() && !session.has_blob("open", &digest).await.unwrap());

    write("open", blob.clone()).await.unwrap();
    assert!(session.has_blob("open", &digest).await.unwrap());
    assert_eq!(fs::read(&path).unwrap(), blob);
    // What is there needs not be sent.
    write("open", blob).await.unwrap();
    assert!(!open.path().join("ingest").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_session() {
    let (session, serving) = connect(provider()).await;
    assert!(!session.is_closed());
    serving.abort();
    session.closed().await;
    assert!(session.secret("token").await.is_err());
}

/// An agent that answers every message with the message and an exclamation mark.
fn shouting_agent(path: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || shout(stream));
        }
    });
}

fn shout(mut stream: std::os::unix::net::UnixStream) -> std::io::Result<()> {
    use std::io::Read as _;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body)?;
        stream.write_all(&(length + 1).to_be_bytes())?;
        stream.write_all(&body)?;
        stream.write_all(b"!")?;
    }
}

#[tokio::test]
async fn an_agent_lists_and_signs_and_does_nothing_else() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("agent");
    shouting_agent(&theirs);
    let agent = |raw| Agent { socket: theirs.clone(), raw };
    let agents = HashMap::from([("default".to_owned(), agent(false)), ("raw".to_owned(), agent(true))]);
    let (session, _serving) = connect(Provider { agents, ..provider() }).await;
    session.check_agent("default").await.unwrap();
    let unknown = session.check_agent("other").await.unwrap_err().to_string();
    assert!(unknown.contains("unset ssh forward key other"), "{unknown}");

    let access = SocketAccess { uid: 0, gid: 0, mode: 0o640 };
    let here = folder.path().join("here");
    let ours = session.agent_socket("default", &here, access).unwrap();
    assert_eq!(fs::metadata(&here).unwrap().mode() & 0o7777, 0o640);
    let mut socket = tokio::net::UnixStream::connect(ours.path()).await.unwrap();
    // Two at once, of which the second, to remove all keys, is not for builds; then a signature.
    socket.write_all(&[0, 0, 0, 1, 11, 0, 0, 0, 1, 19]).await.unwrap();
    let mut answer = [0; 11];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0, 0, 0, 2, 11, b'!', 0, 0, 0, 1, 5]);
    socket.write_all(&[0, 0, 0, 2, 13, 7]).await.unwrap();
    let mut answer = [0; 7];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0, 0, 0, 3, 13, 7, b'!']);
    drop(ours);
    assert!(!here.exists());

    let raw = session.agent_socket("raw", &here, access).unwrap();
    let mut socket = tokio::net::UnixStream::connect(raw.path()).await.unwrap();
    socket.write_all(&[0, 0, 0, 1, 19]).await.unwrap();
    let mut answer = [0; 6];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0, 0, 0, 2, 19, b'!']);
}
