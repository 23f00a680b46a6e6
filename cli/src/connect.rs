//! Reaching a daemon: the one that is named, or one that runs for as long as commands need it.
//!
//! Without an address, the daemon of the user's state directory is used. If none is there, this command
//! starts it as a process of its own and goes on as its client; it ends soon after its last client.
//! So a second command finds the first one's daemon, and neither has to know.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use slipway_proto::control::InfoRequest;
use slipway_proto::control::control_client::ControlClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::arguments::Connection;
use crate::environment;
use crate::error::Failure;
use crate::tls::ClientTls;

/// A daemon that finds its state directory taken ends with this code.
pub const EXIT_LOCKED: u8 = 75;
const SOCKET: &str = "slipway.sock";
/// An error brings the source that it is about, in a header.
const LARGEST_HEADERS: u32 = 16 << 20;
const START: Duration = Duration::from_secs(20);

/// A connection to a daemon that has answered.
pub async fn connect(connection: &Connection) -> Result<Channel, Failure> {
    let channel = match &connection.addr {
        Some(address) => named_daemon(address, connection.tls.client()?.as_ref()).await?,
        None => own_daemon(&state_directory(connection)?).await?,
    };
    Ok(channel)
}

/// The daemon at `address`, with TLS if so told.
pub async fn named_daemon(address: &str, tls: Option<&ClientTls>) -> Result<Channel, Failure> {
    dial(address, tls).await.map_err(|error| {
        Failure::new(format!("cannot reach the daemon at {address}: {error}; is it running?"))
    })
}

/// Where everything rests: `--root`, or the place for system services or for the user's own state.
pub fn state_directory(connection: &Connection) -> Result<PathBuf, Failure> {
    if let Some(root) = &connection.root {
        return std::path::absolute(root)
            .map_err(|error| Failure::usage(format!("{}: {error}", root.display())));
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/slipway".into());
    }
    environment::folder("XDG_STATE_HOME", ".local/state")
        .map(|state| state.join("slipway"))
        .ok_or_else(|| Failure::new("HOME is not set: name a state directory with --root"))
}

pub fn default_address(root: &Path) -> String {
    format!("unix://{}", root.join(SOCKET).display())
}

/// Opens a byte stream to a daemon.
async fn dial(address: &str, tls: Option<&ClientTls>) -> Result<Channel, String> {
    // The name is for HTTP only: the connectors know where to go.
    let endpoint = tuned(Endpoint::from_static("http://localhost"));
    let channel = if let Some(path) = address.strip_prefix("unix://") {
        let path = PathBuf::from(path);
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await
    } else if let (Some(authority), Some(tls)) = (address.strip_prefix("tcp://"), tls) {
        let (authority, tls) = (authority.to_owned(), tls.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (authority, tls) = (authority.clone(), tls.clone());
            async move { tls.connect(&authority).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await
    } else if let Some(authority) = address.strip_prefix("tcp://") {
        let endpoint =
            Endpoint::from_shared(format!("http://{authority}")).map_err(|error| error.to_string())?;
        tuned(endpoint).connect().await
    } else {
        return Err("use unix://PATH or tcp://HOST:PORT".into());
    };
    let channel = channel.map_err(|error| innermost(&error))?;
    // A daemon that is about to end accepts and then hangs up: only an answer counts.
    let mut control = ControlClient::new(channel.clone());
    match control.info(InfoRequest {}).await {
        Ok(_) => Ok(channel),
        Err(status) if status.code() == tonic::Code::Unimplemented => Ok(channel),
        Err(status) => Err(status.message().to_owned()),
    }
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_max_header_list_size(LARGEST_HEADERS)
        .connect_timeout(Duration::from_secs(10))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn own_daemon(root: &Path) -> Result<Channel, Failure> {
    let address = default_address(root);
    if let Ok(channel) = dial(&address, None).await {
        return Ok(channel);
    }
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(root).map_err(|error| {
        Failure::new(format!("cannot create the state directory {}: {error}", root.display()))
    })?;
    // Of several commands that find no daemon, one starts it and the others wait here.
    let _starting = lock(root.join("start.lock")).await?;
    let deadline = Instant::now() + START;
    let mut child: Option<Child> = None;
    loop {
        if let Ok(channel) = dial(&address, None).await {
            return Ok(channel);
        }
        match child.as_mut().map(Child::try_wait) {
            None => child = Some(spawn(root, &address)?),
            Some(Ok(None)) | Some(Err(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
            // Another daemon has the directory: it may be about to end.
            Some(Ok(Some(status))) if status.code() == Some(EXIT_LOCKED.into()) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                child = None;
            }
            Some(Ok(Some(status))) => {
                return Err(Failure::new(format!("the daemon ended ({status}): {}", last_words(root))));
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "the daemon does not answer at {address}: {}",
                last_words(root)
            )));
        }
    }
}

/// Held until dropped.
async fn lock(path: PathBuf) -> Result<File, Failure> {
    let locking = tokio::task::spawn_blocking(move || {
        let file = File::create(&path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    let failed = |error: String| Failure::new(format!("cannot lock the state directory: {error}"));
    locking.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

fn spawn(root: &Path, address: &str) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot start the daemon: {error}"));
    let log = File::create(root.join("daemon.log")).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = std::process::Command::new(program);
    command.arg("--root").arg(root).args(["daemon", "--exit-when-idle", "--listen", address]);
    command.args(["--allow-insecure-entitlement", "network.host"]);
    if let Ok(runtime) = std::env::var("SLIPWAY_RUNTIME") {
        command.args(["--oci-worker-binary", &runtime]);
    }
    command.env_remove("BUILDKIT_HOST");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // Its own group: Ctrl-C is for the command, which then cancels its build in an orderly way.
    command.process_group(0);
    command.spawn().map_err(failed)
}

fn last_words(root: &Path) -> String {
    let path = root.join("daemon.log");
    let log = std::fs::read_to_string(&path).unwrap_or_default();
    let last = log.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| format!("see {}", path.display()), str::to_owned)
}
