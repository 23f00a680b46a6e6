//! `slipway debug`: what a daemon says about itself.

use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{InfoRequest, ListWorkersRequest};

use crate::arguments::{Connection, DebugCommand};
use crate::connect::connect;
use crate::error::Failure;

pub async fn run(connection: &Connection, command: DebugCommand) -> Result<(), Failure> {
    let mut control = ControlClient::new(connect(connection).await?);
    match command {
        DebugCommand::Workers => {
            let workers = control.list_workers(ListWorkersRequest::default()).await?.into_inner();
            println!("ID\tPLATFORMS");
            for worker in workers.record {
                let name = |platform: &slipway_proto::pb::Platform| {
                    let slug = format!("{}/{}", platform.os, platform.architecture);
                    if platform.variant.is_empty() { slug } else { format!("{slug}/{}", platform.variant) }
                };
                let platforms: Vec<_> = worker.platforms.iter().map(name).collect();
                println!("{}\t{}", worker.id, platforms.join(","));
            }
        }
        DebugCommand::Info => {
            let info = control.info(InfoRequest {}).await?.into_inner();
            let version = info.buildkit_version.unwrap_or_default();
            println!("{} {} {}", version.package, version.version, version.revision);
        }
        DebugCommand::Fsck(options) => crate::fsck::run(connection, &options)?,
    }
    Ok(())
}
