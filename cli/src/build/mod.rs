//! `slipway build`: one build, as a client of the daemon.
//!
//! ```text
//! context      which directories are offered, and where the Dockerfile is
//! attributes   options for the frontend
//! outputs      what is made of the result, and where it goes
//! run          session, Status and Solve, side by side; Ctrl-C
//! ```

mod attributes;
mod context;
mod layout;
mod metadata;
mod outputs;
mod run;
mod secrets;
pub mod source;
mod ssh;
mod subrequest;

use std::collections::HashMap;
use std::sync::Arc;

use slipway_proto::control::{CacheOptions, CacheOptionsEntry, SolveRequest};
use slipway_session::provider::{Layout, Provider};

use crate::arguments::{BuildArguments, Connection, ProgressMode};
use crate::connect;
use crate::credentials::DockerConfig;
use crate::error::Failure;
use outputs::Target;

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
    let cache = CacheOptions {
        imports: cache_entries("--cache-from", &arguments.cache_from)?,
        exports: cache_entries("--cache-to", &arguments.cache_to)?,
        ..CacheOptions::default()
    };
    let channel = connect::connect(connection).await?;

    let (id, session) = (new_id()?, new_id()?);
    let mut request = SolveRequest {
        r#ref: id,
        session: session.clone(),
        frontend: "dockerfile.v0".into(),
        frontend_attrs,
        entitlements: entitlements(&arguments),
        cache: Some(cache),
        ..SolveRequest::default()
    };
    let mut targets = HashMap::new();
    let mut layouts = context.layouts.clone();
    let mut exported = None;
    for (index, output) in outputs.into_iter().enumerate() {
        request.exporters.push(output.exporter);
        match output.target {
            Target::Elsewhere => {}
            Target::Sent(target) => drop(targets.insert(index, target)),
            Target::Layout(folder) => {
                let layout = Layout { folder: folder.clone(), writable: true };
                // The protocol has one name for it, whatever the number of exporters.
                if layouts.insert("export".into(), layout).is_some() {
                    return Err(Failure::usage(
                        "--output: only one of them can be an OCI layout (tar=false)",
                    ));
                }
                exported = Some(folder);
            }
        }
    }
    let provider = Provider {
        id: session,
        shared_key: context.shared_key.clone(),
        directories: context.directories.clone(),
        layouts,
        outputs: targets,
        secrets,
        agents,
        credentials: Arc::new(DockerConfig::of_user()),
    };
    let mode = if arguments.quiet { ProgressMode::Quiet } else { arguments.progress };
    let response = run::run(channel, provider, request, mode).await?;
    if let Some(folder) = exported {
        layout::list_exported(&folder, &response)?;
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

/// `type=registry,ref=NAME`, or just a reference.
fn cache_entries(option: &str, specs: &[String]) -> Result<Vec<CacheOptionsEntry>, Failure> {
    let entry = |spec: &String| {
        if !spec.contains('=') {
            let attrs = [("ref".to_owned(), spec.clone())].into();
            return Ok(CacheOptionsEntry { r#type: "registry".into(), attrs });
        }
        let mut fields = outputs::fields(spec)
            .map_err(|field| Failure::usage(format!("{option} {spec:?}: {field:?} is not KEY=VALUE")))?;
        let kind = fields
            .remove("type")
            .ok_or_else(|| Failure::usage(format!("{option} {spec:?} has no type: write type=registry,…")))?;
        Ok(CacheOptionsEntry { r#type: kind, attrs: fields })
    };
    specs.iter().map(entry).collect()
}

/// A name that nobody else uses: 25 characters, as BuildKit's clients make them.
fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 25];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    Ok(bytes.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect())
}
