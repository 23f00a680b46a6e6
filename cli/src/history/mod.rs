//! `slipway history`: builds that were there.

mod inspect;
mod list;

use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{
    BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest, StatusRequest, UpdateBuildHistoryRequest,
};
use slipway_session::LARGEST_MESSAGE;
use tonic::transport::Channel;

use crate::arguments::{Connection, HistoryCommand, ProgressMode};
use crate::build::run::follow;
use crate::connect::connect;
use crate::content;
use crate::error::Failure;
use crate::progress::Progress;

pub async fn run(connection: &Connection, command: HistoryCommand) -> Result<(), Failure> {
    let channel = connect(connection).await?;
    let mut control = ControlClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    match command {
        HistoryCommand::Ls { filter, json } => list::print(&records(&mut control, filter).await?, json),
        HistoryCommand::Inspect { build, json } => {
            inspect::print(&find(&mut control, build.as_deref()).await?, json);
        }
        HistoryCommand::Logs { build, progress } => {
            let name = find(&mut control, build.as_deref()).await?.r#ref;
            logs(&mut control, name, progress).await?;
        }
        HistoryCommand::Trace { build } => {
            let name = find(&mut control, build.as_deref()).await?.r#ref;
            let digest = trace(&mut control, &name).await?;
            content::print(channel, &digest).await?;
        }
        HistoryCommand::Rm { build, all } => remove(&mut control, &build, all).await?,
        HistoryCommand::Pin { build, undo } => {
            let name = find(&mut control, Some(&build)).await?.r#ref;
            update(
                &mut control,
                UpdateBuildHistoryRequest { r#ref: name, pinned: !undo, ..Default::default() },
            )
            .await?;
        }
    }
    Ok(())
}

/// The newest first.
async fn records(
    control: &mut ControlClient<Channel>,
    filter: Vec<String>,
) -> Result<Vec<BuildHistoryRecord>, Failure> {
    let request = BuildHistoryRequest { early_exit: true, filter, ..BuildHistoryRequest::default() };
    let mut events = control.listen_build_history(request).await?.into_inner();
    let mut records = Vec::new();
    while let Some(event) = events.message().await? {
        if event.r#type() != BuildHistoryEventType::Deleted {
            records.extend(event.record);
        }
    }
    records.sort_by_key(|record| {
        let created = record.created_at.unwrap_or_default();
        std::cmp::Reverse((created.seconds, created.nanos))
    });
    Ok(records)
}

/// The build that the user means.
async fn find(
    control: &mut ControlClient<Channel>,
    wanted: Option<&str>,
) -> Result<BuildHistoryRecord, Failure> {
    let mut records = records(control, Vec::new()).await?;
    let wanted = wanted.unwrap_or("^0");
    if let Some(back) = wanted.strip_prefix('^') {
        let back: usize =
            back.parse().map_err(|_| Failure::usage(format!("{wanted:?} is not ^ and a number")))?;
        return match back < records.len() {
            true => Ok(records.swap_remove(back)),
            false => Err(Failure::new(format!("there are records of {} builds only", records.len()))),
        };
    }
    if let Some(exact) = records.iter().position(|record| record.r#ref == wanted) {
        return Ok(records.swap_remove(exact));
    }
    records.retain(|record| record.r#ref.starts_with(wanted));
    match (records.pop(), records.len()) {
        (Some(found), 0) => Ok(found),
        (Some(_), more) => Err(Failure::new(format!("{} builds begin with {wanted:?}", more + 1))),
        (None, _) => Err(Failure::new(format!("no record of build {wanted:?}"))),
    }
}

async fn logs(control: &mut ControlClient<Channel>, name: String, mode: ProgressMode) -> Result<(), Failure> {
    let said = control.status(StatusRequest { r#ref: name }).await?.into_inner();
    let mut progress = Progress::start(mode);
    follow(said, &mut progress).await?;
    progress.finish(true);
    Ok(())
}

/// The digest of a build's trace, which is made now if it was not before.
async fn trace(control: &mut ControlClient<Channel>, name: &str) -> Result<String, Failure> {
    let request = UpdateBuildHistoryRequest { r#ref: name.to_owned(), finalize: true, ..Default::default() };
    update(control, request).await?;
    let trace = find(control, Some(name)).await?.trace;
    trace.map(|trace| trace.digest).ok_or_else(|| Failure::new(format!("the record of {name} has no trace")))
}

async fn remove(control: &mut ControlClient<Channel>, builds: &[String], all: bool) -> Result<(), Failure> {
    let mut names = Vec::new();
    if all {
        let ended = records(control, Vec::new()).await?.into_iter();
        let removable = ended.filter(|record| record.completed_at.is_some() && !record.pinned);
        names.extend(removable.map(|record| record.r#ref));
    }
    for build in builds {
        names.push(find(control, Some(build)).await?.r#ref);
    }
    for name in names {
        let request = UpdateBuildHistoryRequest { r#ref: name.clone(), delete: true, ..Default::default() };
        update(control, request).await?;
        println!("{name}");
    }
    Ok(())
}

async fn update(
    control: &mut ControlClient<Channel>,
    request: UpdateBuildHistoryRequest,
) -> Result<(), Failure> {
    control.update_build_history(request).await?;
    Ok(())
}

/// `running`, `completed`, `canceled` or `failed`.
fn status(record: &BuildHistoryRecord) -> &'static str {
    match (&record.completed_at, &record.error) {
        (None, _) => "running",
        (Some(_), None) => "completed",
        (Some(_), Some(error)) if error.code == i32::from(tonic::Code::Cancelled) => "canceled",
        (Some(_), Some(_)) => "failed",
    }
}

/// The seconds that a build took, or has taken so far.
fn duration(record: &BuildHistoryRecord) -> std::time::Duration {
    let time = |at: prost_types::Timestamp| std::time::SystemTime::try_from(at).ok();
    let end = record.completed_at.and_then(time).unwrap_or_else(std::time::SystemTime::now);
    let start = record.created_at.and_then(time);
    start.and_then(|start| end.duration_since(start).ok()).unwrap_or_default()
}

/// RFC 3339, in UTC.
fn timestamp(at: Option<prost_types::Timestamp>) -> Option<String> {
    let at = std::time::SystemTime::try_from(at?).ok()?;
    time::OffsetDateTime::from(at).format(&time::format_description::well_known::Rfc3339).ok()
}
