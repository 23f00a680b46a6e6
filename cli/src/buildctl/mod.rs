//! `buildctl`: the client, under the names and flags of BuildKit's.
//!
//! It is a client and nothing else: unlike `slipway`, it never starts a daemon.
//!
//! | module | command |
//! |---|---|
//! | [`build`] | `build` |
//! | [`usage`] | `du`, `prune` |
//! | [`histories`] | `prune-histories`, `debug histories`, `debug ctl`, `debug monitor` |
//! | [`workers`] | `debug workers`, `debug info` |
//! | [`records`] | `debug logs`, `debug get` |
//! | [`llb`] | `debug dump-llb` |
//! | [`template`], [`json`] | `--format` of all of them |

mod build;
mod flags;
mod histories;
mod json;
mod llb;
mod records;
mod template;
mod usage;
mod workers;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use clap::Parser;
use slipway_proto::control::control_client::ControlClient;
use slipway_session::LARGEST_MESSAGE;
use tonic::transport::Channel;

use crate::connect;
use crate::dial_stdio;
use crate::error::Failure;
use flags::{Command, Connection, DebugCommand, Flags};

pub fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let Flags { connection, command, .. } = Flags::parse_from(words);
    crate::in_runtime(dispatch(connection, command)).map_err(|failure| Failure { exit_code: 1, ..failure })
}

async fn dispatch(connection: Connection, command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(options) => build::run(&connection, *options).await,
        Command::Du(options) => usage::disk_usage(&connection, options).await,
        Command::Prune(options) => usage::prune(&connection, options).await,
        Command::PruneHistories(options) => histories::prune(&connection, &options).await,
        Command::DialStdio => dial_stdio::relay_to(&connection.address(), connection.patience()).await,
        Command::Debug { command } => match command {
            DebugCommand::Workers(options) => workers::list(&connection, options).await,
            DebugCommand::Info(format) => workers::info(&connection, &format).await,
            DebugCommand::Histories(format) => histories::list(&connection, &format).await,
            DebugCommand::Ctl(options) => histories::change(&connection, options).await,
            DebugCommand::Monitor(options) => histories::monitor(&connection, options).await,
            DebugCommand::Logs(options) => records::logs(&connection, options).await,
            DebugCommand::Get { digest } => records::get(&connection, &digest).await,
            DebugCommand::DumpLlb(options) => llb::dump(&options),
        },
    }
}

impl Connection {
    fn address(&self) -> String {
        let address = self.addr.clone().filter(|address| !address.is_empty());
        address.unwrap_or_else(crate::buildkitd::default_address)
    }

    /// `None` is for ever.
    fn patience(&self) -> Option<Duration> {
        (self.timeout > 0).then(|| Duration::from_secs(self.timeout))
    }

    /// A connection that has answered. With `--wait`, a daemon that is not there yet is waited for.
    async fn channel(&self) -> Result<Channel, Failure> {
        let (address, tls) = (self.address(), self.tls.client()?);
        let deadline = self.patience().map(|patience| Instant::now() + patience);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let dialled = connect::named_daemon(&address, tls.as_ref());
            let outcome = match left {
                Some(left) => tokio::time::timeout(left, dialled).await.unwrap_or_else(|_| {
                    Err(Failure::new(format!("the daemon at {address} did not answer in time")))
                }),
                None => dialled.await,
            };
            match outcome {
                Err(_) if self.wait && deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn control(&self) -> Result<ControlClient<Channel>, Failure> {
        let control = ControlClient::new(self.channel().await?);
        Ok(control.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(LARGEST_MESSAGE))
    }
}
