//! What was pulled before: names and what they meant, and which repository had which digest.
//!
//! The bytes themselves are blobs of the store, and may be gone: then they are pulled again. Rows are
//! few and small; beyond [`MOST`] of a kind the oldest go.

use slipway_model::media_type::{is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor};
use slipway_store::Store;

const MOST: u64 = 8192;

const STEPS: &[&str] = &["
    CREATE TABLE image_name (
        name TEXT NOT NULL UNIQUE,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL
    );
    CREATE TABLE image_origin (
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        UNIQUE (repository, digest)
    );
"];

pub(super) fn migrate(store: &Store) -> Result<(), slipway_store::Error> {
    store.metadata().migrate("image-source", STEPS)
}

/// What `name` meant when it was last asked for.
pub(super) fn named(store: &Store, name: &str) -> Result<Option<Descriptor>, slipway_store::Error> {
    first(store, "SELECT digest, media_type, size FROM image_name WHERE name = ?1", &[name])
}

/// The root of an image that `repository` had.
pub(super) fn had(
    store: &Store,
    repository: &str,
    digest: &BlobDigest,
) -> Result<Option<Descriptor>, slipway_store::Error> {
    let sql = "SELECT digest, media_type, size FROM image_origin WHERE repository = ?1 AND digest = ?2";
    first(store, sql, &[repository, &digest.to_string()])
}

/// Notes what `name`, of `repository`, means now. Costs nothing if that is known.
pub(super) fn note(
    store: &Store,
    name: &str,
    repository: &str,
    root: &Descriptor,
) -> Result<(), slipway_store::Error> {
    let same = |known: Option<Descriptor>| known.is_some_and(|known| known.digest == root.digest);
    let digest = root.digest.to_string();
    if !same(named(store, name)?) {
        store.metadata().with(|db| {
            let sql =
                "INSERT OR REPLACE INTO image_name (name, digest, media_type, size) VALUES (?1, ?2, ?3, ?4)";
            db.execute(sql, (name, &digest, &root.media_type, root.size))?;
            db.execute(
                "DELETE FROM image_name WHERE rowid <= (SELECT max(rowid) FROM image_name) - ?1",
                [MOST],
            )
        })?;
    }
    if !same(had(store, repository, &root.digest)?) {
        store.metadata().with(|db| {
            let sql = "INSERT OR REPLACE INTO image_origin (repository, digest, media_type, size) VALUES (?1, ?2, ?3, ?4)";
            db.execute(sql, (repository, &digest, &root.media_type, root.size))?;
            db.execute("DELETE FROM image_origin WHERE rowid <= (SELECT max(rowid) FROM image_origin) - ?1", [MOST])
        })?;
    }
    Ok(())
}

/// A row that cannot be read is as good as none.
fn first(store: &Store, sql: &str, keys: &[&str]) -> Result<Option<Descriptor>, slipway_store::Error> {
    let row = store.metadata().with(|db| {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = match keys {
            [one] => statement.query([one])?,
            [one, two] => statement.query([one, two])?,
            _ => return Ok(None),
        };
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, u64>(2)?)))
    })?;
    Ok(row.and_then(|(digest, media_type, size)| {
        let known = is_index(&media_type) || is_manifest(&media_type);
        let digest = digest.parse().ok().filter(|_| known)?;
        Some(Descriptor::new(media_type, digest, size))
    }))
}
