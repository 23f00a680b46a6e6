//! `slipway dial-stdio`: standard input and output become a connection to the daemon.
//!
//! Clients reach a daemon inside a container or behind ssh with it.

use std::path::PathBuf;

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
    let failed =
        |error: std::io::Error| Failure::new(format!("cannot reach the daemon at {address}: {error}"));
    if let Some(path) = address.strip_prefix("unix://") {
        relay(UnixStream::connect(PathBuf::from(path)).await.map_err(failed)?).await
    } else if let Some(authority) = address.strip_prefix("tcp://") {
        relay(TcpStream::connect(authority).await.map_err(failed)?).await
    } else {
        Err(Failure::usage(format!("cannot dial {address}: use unix://PATH or tcp://HOST:PORT")))
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
