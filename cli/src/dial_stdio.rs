//! `slipway dial-stdio`: standard input and output become a connection to the daemon.
//!
//! Clients reach a daemon inside a container or behind ssh with it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::arguments::Connection;
use crate::connect;
use crate::error::Failure;

pub async fn run(connection: &Connection) -> Result<(), Failure> {
    let address = match &connection.addr {
        Some(address) => address.clone(),
        None => {
            // Makes sure that a daemon is there.
            connect::connect(connection).await?;
            connect::default_address(&connect::state_directory(connection)?)
        }
    };
    relay_to(&address, None).await
}

/// `patience` is for the connection; what flows through it may take any time.
pub async fn relay_to(address: &str, patience: Option<Duration>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot reach the daemon at {address}: {error}"));
    if let Some(path) = address.strip_prefix("unix://") {
        relay(in_time(UnixStream::connect(path), patience).await.map_err(failed)?).await
    } else if let Some(authority) = address.strip_prefix("tcp://") {
        relay(in_time(TcpStream::connect(authority), patience).await.map_err(failed)?).await
    } else {
        Err(Failure::usage(format!("cannot dial {address}: use unix://PATH or tcp://HOST:PORT")))
    }
}

async fn in_time<S>(
    connecting: impl Future<Output = io::Result<S>>,
    patience: Option<Duration>,
) -> io::Result<S> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, connecting).await?,
        None => connecting.await,
    }
}

async fn relay(stream: impl AsyncRead + AsyncWrite) -> Result<(), Failure> {
    let (mut from_daemon, mut to_daemon) = tokio::io::split(stream);
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let upward = async {
        tokio::io::copy(&mut stdin, &mut to_daemon).await?;
        to_daemon.shutdown().await
    };
    let downward = async {
        tokio::io::copy(&mut from_daemon, &mut stdout).await?;
        stdout.flush().await
    };
    // When the daemon is done, so are we, whatever standard input still holds.
    let outcome = tokio::select! {
        outcome = downward => outcome,
        Err(error) = upward => Err(error),
    };
    outcome.map_err(|error| Failure::new(format!("the connection broke: {error}")))
}
