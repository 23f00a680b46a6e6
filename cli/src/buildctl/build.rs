//! `buildctl build`: what a frontend makes, or a definition on standard input.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use slipway_model::Digest;
use slipway_proto::control::{CacheOptionsEntry, SolveRequest, SolveResponse};
use slipway_proto::pb;
use slipway_session::LARGEST_MESSAGE;
use slipway_session::provider::{Layout, Provider};

use super::flags::{BuildFlags, Connection};
use crate::build::caches::{Caches, entries};
use crate::build::outputs::Placed;
use crate::build::{layout, metadata, new_id, outputs, secrets, source_policy, ssh};
use crate::credentials::DockerConfig;
use crate::error::Failure;
use crate::progress::Progress;

pub async fn run(connection: &Connection, flags: BuildFlags) -> Result<(), Failure> {
    refuse_unsupported(&flags)?;
    let id = new_id()?;
    let directories = directories("--local", &flags.local)?;
    let caches =
        Caches::of(entries("--import-cache", &flags.import_cache)?, cache_exports(&flags.export_cache)?)?;
    let mut request = request(&flags, &id, &caches)?;
    let layouts = self::directories("--oci-layout", &flags.oci_layout)?.into_iter();
    let mut layouts: HashMap<_, _> =
        layouts.map(|(name, folder)| (name, Layout { folder, writable: false })).collect();
    layouts.extend(caches.layouts());
    let Placed { exporters, targets, exported } =
        outputs::place(outputs::of_specs(&flags.output)?, &mut layouts)?;
    request.exporters = exporters;
    let provider = Provider {
        id: request.session.clone(),
        shared_key: shared_key(&directories),
        directories,
        layouts,
        outputs: targets,
        secrets: secrets::read(&flags.secret)?,
        agents: ssh::read(&flags.ssh)?,
        credentials: Arc::new(DockerConfig::of_user()),
        lock: None,
    };
    let trace = flags.trace.as_deref().map(trace_file).transpose()?;
    let channel = connection.channel().await?;
    if let Some(path) = &flags.ref_file {
        std::fs::write(path, &id).map_err(|error| unusable(path, &error))?;
    }
    let progress = Progress::start(flags.progress).with_trace(trace);
    let response = crate::build::run::run(channel, provider, request, progress).await?;
    caches.list_exported(&response)?;
    if let Some(folder) = exported {
        layout::list_exported(&folder, &response)?;
    }
    if let Some(path) = &flags.metadata_file {
        metadata::write_facts(path, &response.exporter_response)?;
    }
    print_answers(&response);
    Ok(())
}

fn refuse_unsupported(flags: &BuildFlags) -> Result<(), Failure> {
    let given = [
        ("--registry-auth-tlscontext", !flags.registry_auth_tlscontext.is_empty()),
        ("--debug-json-cache-metrics", flags.debug_json_cache_metrics.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::usage(format!("{flag} is not supported"))),
        None => Ok(()),
    }
}

fn request(flags: &BuildFlags, id: &str, caches: &Caches) -> Result<SolveRequest, Failure> {
    let definition = match flags.frontend.is_empty() {
        true => Some(definition(flags.no_cache)?),
        false => None,
    };
    let mut frontend_attrs = options(&flags.opt)?;
    if flags.no_cache && definition.is_none() {
        frontend_attrs.insert("no-cache".into(), String::new());
    }
    Ok(SolveRequest {
        r#ref: id.to_owned(),
        session: new_id()?,
        definition,
        frontend: flags.frontend.clone(),
        frontend_attrs,
        entitlements: flags.allow.clone(),
        cache: Some(caches.options()),
        source_policy: flags.source_policy_file.as_deref().map(source_policy::read).transpose()?,
        proxy_network: flags.proxy_network,
        ..SolveRequest::default()
    })
}

/// An export that says nothing else keeps only what the result is made of.
fn cache_exports(specs: &[String]) -> Result<Vec<CacheOptionsEntry>, Failure> {
    let mut entries = entries("--export-cache", specs)?;
    for entry in &mut entries {
        entry.attrs.entry("mode".into()).or_insert_with(|| "min".into());
    }
    Ok(entries)
}

/// The definition on standard input, in the wire's form.
fn definition(no_cache: bool) -> Result<pb::Definition, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(Failure::usage("name a --frontend, or pipe a definition to standard input"));
    }
    let mut definition = super::llb::read(input.lock().take(LARGEST_MESSAGE as u64 + 1))?;
    if definition.def.is_empty() {
        return Err(Failure::usage("the definition on standard input is empty: name a --frontend instead?"));
    }
    if no_cache {
        for op in &definition.def {
            let metadata = definition.metadata.entry(Digest::of(op).to_string()).or_default();
            metadata.ignore_cache = true;
        }
    }
    if definition.encoded_len() > LARGEST_MESSAGE {
        return Err(Failure::usage("the definition on standard input is larger than 16 MiB"));
    }
    Ok(definition)
}

/// `KEY=VALUE`; `build-arg:NAME` alone takes its value from the environment, or is left out. What the
/// environment says of `SOURCE_DATE_EPOCH` comes along.
fn options(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut options = BTreeMap::new();
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        options.insert("build-arg:SOURCE_DATE_EPOCH".to_owned(), epoch);
    }
    for option in given {
        let bare = option.strip_prefix("build-arg:").filter(|name| !name.is_empty() && !name.contains('='));
        match (bare, option.split_once('=')) {
            (Some(name), _) => {
                if let Ok(value) = std::env::var(name) {
                    options.insert(option.clone(), value);
                }
            }
            (None, Some((key, value))) => {
                options.insert(key.to_owned(), value.to_owned());
            }
            (None, None) => return Err(Failure::usage(format!("--opt {option:?}: write KEY=VALUE"))),
        }
    }
    Ok(options)
}

fn directories(flag: &str, given: &[String]) -> Result<HashMap<String, PathBuf>, Failure> {
    let one = |spec: &String| {
        let (name, path) =
            spec.split_once('=').ok_or_else(|| Failure::usage(format!("{flag} {spec:?}: write NAME=DIR")))?;
        let folder = Path::new(path).canonicalize().map_err(|error| unusable(Path::new(path), &error))?;
        match folder.is_dir() {
            true => Ok((name.to_owned(), folder)),
            false => Err(Failure::usage(format!("{flag} {spec:?}: {path} is not a directory"))),
        }
    };
    given.iter().map(one).collect()
}

/// Keeps what the daemon remembers of different projects apart.
fn shared_key(directories: &HashMap<String, PathBuf>) -> String {
    let context = directories.get("context").or_else(|| directories.values().min());
    context.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default()
}

fn trace_file(path: &Path) -> Result<File, Failure> {
    File::options().append(true).create(true).open(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot use {}: {error}", path.display()))
}

/// What the frontend answers to a question (`--opt requestid=…`).
fn print_answers(response: &SolveResponse) {
    let answers = &response.exporter_response;
    if let Some(text) = answers.get("result.txt") {
        print!("{text}");
        return;
    }
    for (key, value) in answers.iter().filter(|(key, _)| key.starts_with("result.")) {
        println!("{key}\n{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_lack_a_value_only_as_build_arguments() {
        let given = ["target=a".to_owned(), "build-arg:NO_SUCH_VARIABLE".into(), "build-arg:A=".into()];
        let options = options(&given).unwrap();
        assert_eq!(options.get("build-arg:A").map(String::as_str), Some(""));
        assert!(!options.contains_key("build-arg:NO_SUCH_VARIABLE"));
        assert!(super::options(&["target".into()]).is_err());
        assert!(super::options(&["build-arg:".into()]).is_err());
    }

    #[test]
    fn exports_are_small_unless_told() {
        let entries =
            cache_exports(&["type=local,dest=/x".into(), "type=registry,ref=r,mode=max".into()]).unwrap();
        assert_eq!(entries[0].attrs["mode"], "min");
        assert_eq!(entries[1].attrs["mode"], "max");
    }
}
