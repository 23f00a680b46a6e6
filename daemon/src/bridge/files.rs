//! Reading files of references.

use std::path::Path;
use std::sync::Arc;

use slipway_model::pattern::PatternMatcher;
use slipway_proto::fsutil::Stat;
use slipway_proto::gateway::{
    ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest, StatFileResponse,
};
use slipway_session::fsutil::mode;
use slipway_store::inroot;
use slipway_worker::Value;
use tonic::Status;

use super::refs::value;
use crate::build::Build;
use crate::build::failure::Failure;
use crate::engine::Engine;

/// The largest file that is handed to a frontend: what fits into one message.
const LARGEST: u64 = 15 << 20;
const MOST_ENTRIES: usize = 100_000;

pub(super) async fn read_file(
    engine: &Arc<Engine>,
    build: &Build,
    request: ReadFileRequest,
) -> Result<ReadFileResponse, Status> {
    let value = value(engine, build, &request.r#ref).await.map_err(Failure::into_status)?;
    let path = request.file_path;
    let range = request.range;
    let data = blocking(move || {
        let tree = mounted(&value, &path)?;
        inroot::read_to_limit(tree.root(), Path::new(&path), LARGEST).map_err(|error| failed(&path, &error))
    })
    .await?;
    let Some(range) = range else { return Ok(ReadFileResponse { data: data.into() }) };
    let bound = |number: i64| usize::try_from(number).unwrap_or(0).min(data.len());
    let start = bound(range.offset);
    let end =
        if range.length > 0 { start.saturating_add(bound(range.length)).min(data.len()) } else { data.len() };
    Ok(ReadFileResponse { data: bytes::Bytes::copy_from_slice(&data[start..end]) })
}

pub(super) async fn read_dir(
    engine: &Arc<Engine>,
    build: &Build,
    request: ReadDirRequest,
) -> Result<ReadDirResponse, Status> {
    let value = value(engine, build, &request.r#ref).await.map_err(Failure::into_status)?;
    let ReadDirRequest { dir_path: path, include_pattern: pattern, .. } = request;
    blocking(move || {
        let tree = mounted(&value, &path)?;
        let matcher = PatternMatcher::new(Some(&pattern).filter(|pattern| !pattern.is_empty()))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let found = inroot::read_dir(tree.root(), Path::new(&path), MOST_ENTRIES)
            .map_err(|error| failed(&path, &error))?;
        let mut entries = Vec::new();
        for entry in found {
            let name = entry.name.to_string_lossy().into_owned();
            if pattern.is_empty() || matcher.matches(&name).unwrap_or(false) {
                entries.push(describe(name, &entry.stat));
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(ReadDirResponse { entries })
    })
    .await
}

pub(super) async fn stat_file(
    engine: &Arc<Engine>,
    build: &Build,
    request: StatFileRequest,
) -> Result<StatFileResponse, Status> {
    let value = value(engine, build, &request.r#ref).await.map_err(Failure::into_status)?;
    let path = request.path;
    blocking(move || {
        let tree = mounted(&value, &path)?;
        let stat =
            inroot::stat(tree.root(), Path::new(&path), true).map_err(|error| failed(&path, &error))?;
        let name = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(StatFileResponse { stat: Some(describe(name.unwrap_or_default(), &stat)) })
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))?
}

fn mounted(value: &Value, path: &str) -> Result<slipway_store::Mounted, Status> {
    let mounted = value.mount().map_err(|error| Status::internal(error.to_string()))?;
    mounted.ok_or_else(|| Status::not_found(format!("{path}: no such file or directory")))
}

fn failed(path: &str, error: &slipway_store::Error) -> Status {
    match error.is_not_found() {
        true => Status::not_found(format!("{path}: no such file or directory")),
        false => Status::unknown(error.to_string()),
    }
}

fn describe(path: String, stat: &rustix::fs::Stat) -> Stat {
    Stat {
        path,
        mode: mode::from_unix(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size,
        mod_time: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
        ..Stat::default()
    }
}
