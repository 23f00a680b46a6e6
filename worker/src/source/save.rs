//! A file on its way into a snapshot: received here, hashed and written on a thread that may wait for the disk.

use std::io::Write as _;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use slipway_model::{Digest, Hasher};
use slipway_store::{Active, Ref, Store};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::blocking::blocking;
use crate::worker::described;
use crate::{Error, Result};

/// Pieces that may wait for the disk.
const WAITING: usize = 32;

/// The file to make.
pub(super) struct File {
    /// One plain name.
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// 1970 if nobody says.
    pub(super) modified: Option<OffsetDateTime>,
}

/// The file's bytes on their way, not verified.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// One plain name: the last part of `path`, if a file may be called so.
pub(super) fn safe_name(path: &str) -> String {
    let name = path.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") || name.chars().any(char::is_control) {
        return "download".into();
    }
    name.to_owned()
}

/// What an operation says of a file's owner.
pub(super) fn owner(id: i64) -> Result<u32> {
    u32::try_from(id).map_err(|_| Error::Failed(format!("invalid owner {id} of a download")))
}

/// What an operation says of a file's mode; more than 07777 has no meaning, and nothing means private.
pub(super) fn mode(mode: i64) -> u32 {
    match mode & 0o7777 {
        0 => 0o600,
        mode => mode as u32,
    }
}

/// A snapshot that holds nothing but the file, and the digest of its content.
pub(super) async fn save(
    store: &Store,
    mut body: Pieces,
    file: File,
    description: String,
) -> Result<(Ref, Digest)> {
    let (pieces, arriving) = mpsc::channel(WAITING);
    let store = store.clone();
    let writing = tokio::spawn(blocking(move || {
        let active = store.prepare(None, described(&description))?;
        let digest = write(&active, &file, arriving)?;
        Ok((active, digest))
    }));
    let mut broken = None;
    loop {
        match body.next().await {
            Some(Ok(piece)) => {
                if pieces.send(piece).await.is_err() {
                    // The writer has ended early, and says why.
                    break;
                }
            }
            None => break,
            Some(Err(error)) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(pieces);
    let written = writing.await.map_err(|error| Error::Failed(format!("the download stopped: {error}")))?;
    match (broken, written) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok((active, digest))) => Ok((blocking(move || Ok(active.commit()?)).await?, digest)),
    }
}

fn write(active: &Active, file: &File, mut pieces: mpsc::Receiver<Bytes>) -> Result<Digest> {
    let folder = active.upper_dir();
    let failed =
        |error: std::io::Error| Error::io(format!("cannot write the download {:?}", file.name), error);
    let at = |error: rustix::io::Errno| failed(error.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, &folder, flags, Mode::empty()).map_err(at)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&folder, &file.name, flags, Mode::from_raw_mode(0o600)).map_err(at)?;
    let mut opened = std::fs::File::from(opened);
    let mut hasher = Hasher::new();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
        opened.write_all(&piece).map_err(failed)?;
    }
    if (file.uid, file.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(file.uid), Gid::from_raw(file.gid));
        rustix::fs::fchown(&opened, Some(uid), Some(gid)).map_err(at)?;
    }
    rustix::fs::fchmod(&opened, Mode::from_raw_mode(file.mode)).map_err(at)?;
    let time = Timespec { tv_sec: file.modified.map_or(0, |at| at.unix_timestamp()), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(&folder, &file.name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(at)?;
    Ok(hasher.finish())
}
