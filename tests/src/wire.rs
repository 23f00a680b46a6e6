//! The daemon's services, called with whatever messages a test likes.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use slipway_proto::control::control_client::ControlClient;
use slipway_proto::gateway::llb_bridge_client::LlbBridgeClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::daemon::Daemon;
use crate::process::eventually;

/// As long as any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Large enough for what a test sends on purpose.
const LARGEST: usize = 256 << 20;

/// A connection of its own.
async fn connect(daemon: &Daemon) -> Channel {
    connect_to(daemon.socket()).await
}

/// A connection to whatever listens at `socket`.
pub async fn connect_to(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let socket: PathBuf = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost").http2_max_header_list_size(16 << 20);
    endpoint.connect_with_connector(connector).await.expect("the daemon listens")
}

pub async fn control(daemon: &Daemon) -> ControlClient<Channel> {
    ControlClient::new(connect(daemon).await)
        .max_encoding_message_size(LARGEST)
        .max_decoding_message_size(LARGEST)
}

pub async fn bridge(daemon: &Daemon) -> LlbBridgeClient<Channel> {
    LlbBridgeClient::new(connect(daemon).await)
}

/// The wire's form of a message.
pub fn encode(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// A stream that stays open and says nothing.
pub fn silent<T>() -> impl futures::Stream<Item = T> + Send + 'static
where
    T: Send + 'static,
{
    futures::stream::pending()
}

/// The answer to a call, which must come.
pub async fn answer<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, call).await.expect("the daemon answers")
}

/// What the kernel keeps for a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub descriptors: usize,
    pub resident: usize,
}

pub fn held(daemon: &Daemon) -> Held {
    let pid = daemon.pid();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default();
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    Held { descriptors, resident: pages * 4096 }
}

/// Bytes that no file stands behind: what the allocator has, and stacks.
pub fn anonymous_memory(daemon: &Daemon) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// Fails if the daemon does not come back to what it held before, but for `slack` bytes of memory.
#[track_caller]
pub fn assert_nothing_kept(daemon: &Daemon, before: Held, slack: usize) {
    let mut now = held(daemon);
    let is_back = eventually(Duration::from_secs(15), || {
        now = held(daemon);
        now.descriptors <= before.descriptors && now.resident <= before.resident + slack
    });
    assert!(is_back, "before {before:?}, now {now:?}:\n{}", daemon.log());
}
