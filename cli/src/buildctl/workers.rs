//! `buildctl debug workers` and `buildctl debug info`: what drivers ask to see whether a daemon is ready.

use std::time::Duration;

use serde_json::Value;
use slipway_model::Platform;
use slipway_proto::control::types::WorkerRecord;
use slipway_proto::control::{InfoRequest, ListWorkersRequest};

use super::flags::{Connection, Format, WorkersFlags};
use super::json;
use crate::disk_usage::bytes;
use crate::error::Failure;

pub async fn list(connection: &Connection, flags: WorkersFlags) -> Result<(), Failure> {
    let template = flags.format.template()?;
    let request = ListWorkersRequest { filter: flags.filter };
    let workers = connection.control().await?.list_workers(request).await?.into_inner().record;
    if let Some(template) = template {
        println!("{}", template.render(&Value::Array(workers.iter().map(json::worker).collect())));
    } else if flags.verbose {
        workers.iter().for_each(print_all);
    } else {
        println!("ID\t\t\t\tPLATFORMS");
        for worker in &workers {
            println!("{}\t{}", worker.id, platforms(worker));
        }
    }
    Ok(())
}

pub async fn info(connection: &Connection, format: &Format) -> Result<(), Failure> {
    let template = format.template()?;
    let info = connection.control().await?.info(InfoRequest {}).await?.into_inner();
    let version = info.buildkit_version.unwrap_or_default();
    if let Some(template) = template {
        println!("{}", template.render(&serde_json::json!({ "buildkitVersion": json::version(&version) })));
        return Ok(());
    }
    println!("BuildKit:   {} {} {}", version.package, version.version, version.revision);
    if !version.dockerfile_version.is_empty() {
        println!("Dockerfile: {}", version.dockerfile_version);
    }
    Ok(())
}

fn platforms(worker: &WorkerRecord) -> String {
    let names: Vec<String> =
        worker.platforms.iter().map(|platform| Platform::from(platform).to_string()).collect();
    names.join(",")
}

fn print_all(worker: &WorkerRecord) {
    println!("ID:\t\t{}", worker.id);
    println!("Platforms:\t{}", platforms(worker));
    if let Some(version) = &worker.buildkit_version {
        println!("BuildKit:\t{} {} {}", version.package, version.version, version.revision);
        if !version.dockerfile_version.is_empty() {
            println!("Dockerfile:\t{}", version.dockerfile_version);
        }
    }
    println!("Labels:");
    for (key, value) in &worker.labels {
        println!("\t{key}:\t{value}");
    }
    for device in &worker.cdi_devices {
        println!("Device:\t\t{}", device.name);
    }
    for (index, policy) in worker.gc_policy.iter().enumerate() {
        println!("GC Policy rule#{index}:\n\tAll:\t{}", policy.all);
        if !policy.filters.is_empty() {
            println!("\tFilters:\t{}", policy.filters.join(" "));
        }
        if let Ok(nanoseconds @ 1..) = u64::try_from(policy.keep_duration) {
            println!("\tKeep duration:\t{:?}", Duration::from_nanos(nanoseconds));
        }
        let spaces = [
            ("Reserved space", policy.reserved_space),
            ("Minimum free space", policy.min_free_space),
            ("Maximum used space", policy.max_used_space),
        ];
        for (name, space) in spaces.into_iter().filter(|(_, space)| *space > 0) {
            println!("\t{name}:\t{}", bytes(space));
        }
    }
    println!();
}
