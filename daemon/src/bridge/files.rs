//! Reading files: of references, and of containers that run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path};
use std::sync::Arc;

use rustix::fs::FileType;

use slipway_model::pattern::PatternMatcher;
use slipway_proto::fsutil::Stat;
use slipway_proto::gateway::{
    FileRange, ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest,
    StatFileResponse,
};
use slipway_session::fsutil::mode;
use slipway_store::{Mounted, inroot};
use slipway_worker::Value;
use slipway_worker::container::Container;
use tonic::Status;

use crate::build::failure::Failure;

/// The largest file that is handed to a frontend: what fits into one message.
const LARGEST: u64 = 15 << 20;
const MOST_ENTRIES: usize = 100_000;

/// Where files are read.
pub(super) enum Tree {
    Value(Value),
    /// A mount of a container, by its place in the request for it.
    Container(Arc<Container>, i32),
}

pub(super) async fn read_file(tree: Tree, request: ReadFileRequest) -> Result<ReadFileResponse, Status> {
    let ReadFileRequest { file_path: path, range, .. } = request;
    let data = blocking(move || {
        let tree = tree.mounted(&path)?;
        let Some(range) = range else {
            return inroot::read_to_limit(tree.root(), Path::new(&path), LARGEST)
                .map_err(|error| failed(&path, &error));
        };
        let file = inroot::open(tree.root(), Path::new(&path)).map_err(|error| failed(&path, &error))?;
        read_range(file, range).map_err(|error| Status::unknown(format!("cannot read {path}: {error}")))
    })
    .await?;
    Ok(ReadFileResponse { data: data.into() })
}

/// From an offset on, at most a length; 0 is all the rest.
fn read_range(mut file: File, range: FileRange) -> io::Result<Vec<u8>> {
    let length = u64::try_from(range.length).unwrap_or(0);
    let length = if length == 0 { LARGEST } else { length.min(LARGEST) };
    file.seek(SeekFrom::Start(u64::try_from(range.offset).unwrap_or(0)))?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data)?;
    Ok(data)
}

pub(super) async fn read_dir(tree: Tree, request: ReadDirRequest) -> Result<ReadDirResponse, Status> {
    let ReadDirRequest { dir_path: path, include_pattern: pattern, .. } = request;
    blocking(move || {
        let is_root =
            Path::new(&path).components().all(|part| matches!(part, Component::RootDir | Component::CurDir));
        if is_root && matches!(tree, Tree::Value(Value::Scratch)) {
            return Ok(ReadDirResponse::default());
        }
        let tree = tree.mounted(&path)?;
        let matcher = PatternMatcher::new(Some(&pattern).filter(|pattern| !pattern.is_empty()))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let found = inroot::read_dir(tree.root(), Path::new(&path), MOST_ENTRIES)
            .map_err(|error| failed(&path, &error))?;
        let mut entries = Vec::new();
        for entry in found {
            let name = entry.name.to_string_lossy().into_owned();
            if pattern.is_empty() || matcher.matches(&name).unwrap_or(false) {
                let place = Path::new(&path).join(&entry.name);
                entries.push(describe(&tree, name, &place, &entry.stat));
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(ReadDirResponse { entries })
    })
    .await
}

pub(super) async fn stat_file(tree: Tree, request: StatFileRequest) -> Result<StatFileResponse, Status> {
    let path = request.path;
    blocking(move || {
        let tree = tree.mounted(&path)?;
        let place = Path::new(&path);
        let stat = inroot::stat(tree.root(), place, true).map_err(|error| failed(&path, &error))?;
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(StatFileResponse { stat: Some(describe(&tree, name, place, &stat)) })
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))?
}

impl Tree {
    fn mounted(self, path: &str) -> Result<Mounted, Status> {
        match self {
            Self::Value(value) => {
                let mounted = value.mount().map_err(|error| Status::internal(error.to_string()))?;
                mounted.ok_or_else(|| Status::not_found(format!("{path}: no such file or directory")))
            }
            Self::Container(container, index) => {
                let index = usize::try_from(index)
                    .map_err(|_| Status::invalid_argument(format!("mount index {index} is out of bounds")))?;
                container.tree(index).map_err(|error| Failure::from_worker(error).into_status())
            }
        }
    }
}

fn failed(path: &str, error: &slipway_store::Error) -> Status {
    match error.is_not_found() {
        true => Status::not_found(format!("{path}: no such file or directory")),
        false => Status::unknown(error.to_string()),
    }
}

fn describe(tree: &Mounted, path: String, place: &Path, stat: &rustix::fs::Stat) -> Stat {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let linkname = match kind {
        // It may have gone meanwhile, in a container that runs.
        FileType::Symlink => inroot::read_link(tree.root(), place).unwrap_or_default(),
        _ => OsString::new(),
    };
    Stat {
        path,
        mode: mode::from_unix(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == FileType::Directory { 0 } else { stat.st_size },
        mod_time: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
        linkname: linkname.to_string_lossy().into_owned(),
        ..Stat::default()
    }
}
