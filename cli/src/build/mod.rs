//! `slipway build`: one build, as a client of the daemon.
//!
//! ```text
//! context      which directories are offered, and where the Dockerfile is
//! attributes   options for the frontend
//! attests      what is to be said about the image
//! caches       which are used, and which are written
//! lock         what sources come to, in a file
//! source_policy  rules about sources
//! outputs      what is made of the result, and where it goes
//! provenance   facts about the build that its history has
//! run          session, Status and Solve, side by side; Ctrl-C
//! ```

mod attests;
mod attributes;
pub mod caches;
mod context;
mod credentials;
pub mod layout;
mod lock;
pub mod metadata;
pub mod outputs;
mod provenance;
pub mod run;
pub mod secrets;
pub mod source;
pub mod source_policy;
pub mod ssh;
mod subrequest;

use std::sync::Arc;

use slipway_proto::control::SolveRequest;
use slipway_session::provider::Provider;

use crate::arguments::{BuildArguments, Connection, ProgressMode};
use crate::connect;
use crate::credentials::DockerConfig;
use crate::error::Failure;
use crate::progress::Progress;
use outputs::Placed;

pub async fn run(connection: &Connection, arguments: BuildArguments) -> Result<(), Failure> {
    let context = context::Context::prepare(&arguments)?;
    let subrequest = subrequest::of(&arguments)?;
    let outputs = if subrequest.is_some() { Vec::new() } else { outputs::parse(&arguments)? };
    let mut frontend_attrs = attributes::frontend(&arguments)?;
    frontend_attrs.extend(context.attributes.clone());
    if let Some(subrequest) = &subrequest {
        frontend_attrs.insert("requestid".into(), subrequest.id().into());
    }
    let secrets = secrets::read(&arguments.secret)?;
    let agents = ssh::read(&arguments.ssh)?;
    let caches = caches::Caches::prepare(&arguments)?;
    frontend_attrs.extend(caches.attribute());
    let lock = lock::LockFile::read(&arguments)?;
    let channel = connect::connect(connection).await?;
    if let Some(lock) = &lock {
        lock.require_daemon(channel.clone()).await?;
    }

    let (id, session) = (new_id()?, new_id()?);
    let mut request = SolveRequest {
        r#ref: id.clone(),
        session: session.clone(),
        frontend: "dockerfile.v0".into(),
        frontend_attrs,
        entitlements: entitlements(&arguments),
        cache: Some(caches.options()),
        source_policy: arguments.source_policy_file.as_deref().map(source_policy::read).transpose()?,
        ..SolveRequest::default()
    };
    let mut layouts = context.layouts.clone();
    layouts.extend(caches.layouts());
    let Placed { exporters, targets, exported } = outputs::place(outputs, &mut layouts)?;
    request.exporters = exporters;
    let provider = Provider {
        id: session,
        shared_key: context.shared_key.clone(),
        directories: context.directories.clone(),
        layouts,
        outputs: targets,
        secrets,
        agents,
        credentials: Arc::new(DockerConfig::of_user()),
        lock: lock.as_ref().map(|lock| lock.offer.clone()),
    };
    let mode = if arguments.quiet { ProgressMode::Quiet } else { arguments.progress };
    let mut response = run::run(channel.clone(), provider, request, Progress::start(mode)).await?;
    if let Some(lock) = lock {
        lock.write()?;
    }
    if let Some(folder) = exported {
        layout::list_exported(&folder, &response)?;
    }
    caches.list_exported(&response)?;
    if arguments.metadata_file.is_some() {
        response.exporter_response.extend(provenance::facts(channel, &id).await);
    }
    match subrequest {
        Some(subrequest) => subrequest.print(&response),
        None => metadata::write(&arguments, &response),
    }
}

/// What the build may do beyond the usual: what was allowed, and what was asked for by name.
fn entitlements(arguments: &BuildArguments) -> Vec<String> {
    let mut entitlements = arguments.allow.clone();
    let host = "network.host".to_owned();
    if arguments.network.as_deref() == Some("host") && !entitlements.contains(&host) {
        entitlements.push(host);
    }
    entitlements
}

/// A name that nobody else uses: 25 characters, as BuildKit's clients make them.
pub fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 25];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    Ok(bytes.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect())
}
