//! A body on its way into a snapshot: received here, hashed and written on a thread that may wait for the disk.

use std::io::Write as _;

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use slipway_model::{Digest, Hasher};
use slipway_store::{Active, Ref, Store};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::body::Body;
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
    /// 1970 if the server does not say.
    pub(super) modified: Option<OffsetDateTime>,
}

/// A snapshot that holds nothing but the file, and the digest of its content.
pub(super) async fn save(store: &Store, mut body: Body, file: File, url: &str) -> Result<(Ref, Digest)> {
    let (pieces, arriving) = mpsc::channel(WAITING);
    let (store, description) = (store.clone(), format!("http url {url}"));
    let writing = tokio::spawn(blocking(move || {
        let active = store.prepare(None, described(&description))?;
        let digest = write(&active, &file, arriving)?;
        Ok((active, digest))
    }));
    let mut broken = None;
    loop {
        match body.next_piece(url).await {
            Ok(Some(piece)) => {
                if pieces.send(piece).await.is_err() {
                    // The writer has ended early, and says why.
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
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
