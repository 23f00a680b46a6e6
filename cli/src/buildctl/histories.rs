//! Records of builds: listed, watched, pinned, removed.

use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest, Descriptor, UpdateBuildHistoryRequest,
};

use super::flags::{Connection, CtlFlags, Format, MonitorFlags};
use super::json;
use crate::error::Failure;

/// `debug histories`
pub async fn list(connection: &Connection, format: &Format) -> Result<(), Failure> {
    let template = format.template()?;
    let mut events = past(connection).await?;
    if template.is_none() {
        println!("TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION\tPINNED");
    }
    while let Some(event) = events.message().await? {
        match &template {
            Some(template) => println!("{}", template.render(&json::event(&event))),
            None => {
                let pinned = event.record.as_ref().is_some_and(|record| record.pinned);
                println!("{}\t{}", row(&event), if pinned { "*" } else { "" });
            }
        }
    }
    Ok(())
}

/// `prune-histories`: all but what is pinned. What cannot be removed does not keep the rest.
pub async fn prune(connection: &Connection, format: &Format) -> Result<(), Failure> {
    let template = format.template()?;
    let mut control = connection.control().await?;
    let mut events = past(connection).await?;
    if template.is_none() {
        println!("TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION");
    }
    let mut failure = None;
    while let Some(event) = events.message().await? {
        let Some(record) = event.record.as_ref().filter(|record| !record.pinned) else { continue };
        let request =
            UpdateBuildHistoryRequest { r#ref: record.r#ref.clone(), delete: true, ..Default::default() };
        match (control.update_build_history(request).await, &template) {
            (Err(status), _) => failure = Some(Failure::from(status)),
            (Ok(_), Some(template)) => println!("{}", template.render(&json::event(&event))),
            (Ok(_), None) => println!("{}", row(&event)),
        }
    }
    failure.map_or(Ok(()), Err)
}

/// `debug ctl`
pub async fn change(connection: &Connection, flags: CtlFlags) -> Result<(), Failure> {
    if !(flags.pin || flags.unpin || flags.delete) {
        return Err(Failure::usage("give one of --pin, --unpin, --delete"));
    }
    let request = UpdateBuildHistoryRequest {
        r#ref: flags.id,
        pinned: flags.pin,
        delete: flags.delete,
        ..UpdateBuildHistoryRequest::default()
    };
    connection.control().await?.update_build_history(request).await?;
    Ok(())
}

/// `debug monitor`, until the daemon or the user ends it.
pub async fn monitor(connection: &Connection, flags: MonitorFlags) -> Result<(), Failure> {
    let request = BuildHistoryRequest {
        active_only: !flags.completed,
        r#ref: flags.id,
        ..BuildHistoryRequest::default()
    };
    let mut events = connection.control().await?.listen_build_history(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        let record = event.record.clone().unwrap_or_default();
        println!("event: {} ref:{}", json::event_type(&event).as_str_name(), record.r#ref);
        print_facts(&record);
    }
    Ok(())
}

fn print_facts(record: &BuildHistoryRecord) {
    if record.num_total_steps != 0 {
        println!("  cache: {}/{}", record.num_cached_steps, record.num_total_steps);
    }
    if record.num_warnings != 0 {
        println!("  warnings: {}", record.num_warnings);
    }
    let result = record.result.iter().chain(record.results.values());
    let results = result.flat_map(|result| result.results.values().map(|result| ("descriptor", result)));
    let files = [("logs", &record.logs), ("trace", &record.trace)];
    let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
    for (name, Descriptor { media_type, digest, size, .. }) in files.chain(results) {
        println!("  {name}: {digest} {size} {media_type}");
    }
}

async fn past(connection: &Connection) -> Result<tonic::Streaming<BuildHistoryEvent>, Failure> {
    let request = BuildHistoryRequest { early_exit: true, ..BuildHistoryRequest::default() };
    Ok(connection.control().await?.listen_build_history(request).await?.into_inner())
}

fn row(event: &BuildHistoryEvent) -> String {
    let record = event.record.clone().unwrap_or_default();
    let time = |at: Option<prost_types::Timestamp>| at.and_then(json::rfc3339).unwrap_or_default();
    format!(
        "{}\t{}\t{}\t{}\t{}",
        json::event_type(event).as_str_name(),
        record.r#ref,
        time(record.created_at),
        time(record.completed_at),
        record.generation
    )
}
