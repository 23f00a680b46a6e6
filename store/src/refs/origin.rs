//! Where files with several names come from: what keeps a copy from looking like a hard link.
//!
//! A file can get a name in another snapshot instead of being copied: nobody writes to either again. But who reads a
//! tree of several layers (a step, a copy from it, an export of it as a whole) takes two names of one file *in that
//! tree* for a hard link, which must not come about by our linking. So of every snapshot is known whose files it has,
//! and where they went:
//!
//! | a snapshot | has of the origin *O* | at the place |
//! |---|---|---|
//! | *O* itself (or a client's directory) | its files | `""` |
//! | linked from *O*, at the paths they have there | the same | `""` |
//! | linked from *O*, `/src` becoming `/app` | the same | a digest of `""`, `/src`, `/app` |
//! | linked from that one, `/app` becoming `/usr/app` | the same, still of *O* | a digest of the former, `/app`, `/usr/app` |
//!
//! Two snapshots may be in one stack if each origin has the same place in both; then every file has one path, however
//! many names. Else the files are copied. Rows go with the snapshot that has the files; that the origin itself is gone
//! does not matter, as others may still hold its files.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use slipway_model::Digest;

use super::{Active, Ref};
use crate::error::Result;
use crate::snapshot::SnapshotId;
use crate::store::Store;

/// Which path of a tree became which of another. Both absolute and without links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved<'a> {
    pub from: &'a [u8],
    pub to: &'a [u8],
}

/// Whose files, and where they went.
pub(super) type Origins = BTreeSet<(SnapshotId, String)>;

impl Active {
    /// Whether files of `other` (of itself, not of what is below it) may get names here, at other paths if `moved`.
    pub fn may_share(&self, other: &Ref, moved: Option<Moved<'_>>) -> Result<bool> {
        let mut here = self.origins.iter().cloned().collect::<Vec<_>>();
        for parent in self.parents() {
            here.extend(origins(&self.store, &parent)?);
        }
        let mut places: BTreeMap<SnapshotId, BTreeSet<String>> = BTreeMap::new();
        for (origin, place) in here {
            places.entry(origin).or_default().insert(place);
        }
        let agrees = |(origin, place): &(SnapshotId, String)| {
            places.get(origin).is_none_or(|known| known.iter().all(|known| known == place))
        };
        Ok(of_shared(&self.store, &other.id(), moved)?.iter().all(agrees))
    }
}

/// What a snapshot has that shares files with `other`.
pub(super) fn of_shared(store: &Store, other: &SnapshotId, moved: Option<Moved<'_>>) -> Result<Origins> {
    let origins = origins(store, other)?.into_iter();
    Ok(origins
        .map(|(origin, place)| (origin, moved.map_or(place.clone(), |moved| moved.from(&place))))
        .collect())
}

fn origins(store: &Store, id: &SnapshotId) -> Result<Origins> {
    let mut origins = store.inner.metadata.with(|db| rows(db, id))?;
    origins.insert((*id, String::new()));
    Ok(origins)
}

impl Moved<'_> {
    fn from(&self, place: &str) -> String {
        if self.from == self.to {
            return place.to_owned();
        }
        let text = [place.as_bytes(), self.from, self.to].join(&b'\0');
        Digest::of(&text).hex()
    }
}

fn rows(db: &Connection, id: &SnapshotId) -> rusqlite::Result<Origins> {
    db.prepare_cached("SELECT origin, place FROM origin WHERE snapshot = ?1")?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn insert(db: &Connection, id: &SnapshotId, origins: &Origins) -> rusqlite::Result<()> {
    for (origin, place) in origins {
        db.prepare_cached("INSERT OR IGNORE INTO origin (snapshot, origin, place) VALUES (?1, ?2, ?3)")?
            .execute(params![id, origin, place])?;
    }
    Ok(())
}
