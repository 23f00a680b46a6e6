//! The tables of this crate. Rows that hang on a snapshot go with it, by trigger, so that every way of
//! removing one (pruning, recovery) takes all of it. Other rooms may hang triggers on `snapshot` too.

use rusqlite::{Connection, OptionalExtension, Result};

pub(super) const STEPS: &[&str] = &[
    // `parent` is null for the lowest; `size` is null until measured; times are nanoseconds since 1970.
    // An `epoch` of 2^63-1 marks a mutable snapshot that is in use.
    "CREATE TABLE snapshot (
         id TEXT PRIMARY KEY, parent TEXT, mutable INTEGER NOT NULL, record_type TEXT NOT NULL,
         description TEXT NOT NULL, created INTEGER NOT NULL, last_used INTEGER, usage_count INTEGER NOT NULL,
         size INTEGER, epoch INTEGER NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX snapshot_parent ON snapshot (parent) WHERE parent IS NOT NULL;

     CREATE TABLE name (key TEXT PRIMARY KEY, snapshot TEXT NOT NULL) WITHOUT ROWID;
     CREATE INDEX name_snapshot ON name (snapshot);

     CREATE TABLE chain (chain_id TEXT PRIMARY KEY, snapshot TEXT NOT NULL) WITHOUT ROWID;
     CREATE INDEX chain_snapshot ON chain (snapshot);

     CREATE TABLE diff (snapshot TEXT PRIMARY KEY, diff_id TEXT NOT NULL) WITHOUT ROWID;

     CREATE TABLE layer (
         snapshot TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
         annotations TEXT NOT NULL, PRIMARY KEY (snapshot, digest)
     ) WITHOUT ROWID;
     CREATE INDEX layer_digest ON layer (digest);

     CREATE TABLE cache_mount (snapshot TEXT PRIMARY KEY, pool TEXT NOT NULL) WITHOUT ROWID;
     CREATE INDEX cache_mount_pool ON cache_mount (pool);

     CREATE TABLE blob (
         digest TEXT PRIMARY KEY, size INTEGER NOT NULL, created INTEGER NOT NULL,
         last_used INTEGER NOT NULL, epoch INTEGER NOT NULL
     ) WITHOUT ROWID;

     CREATE TABLE sharing (snapshot TEXT, other TEXT, PRIMARY KEY (snapshot, other)) WITHOUT ROWID;
     CREATE INDEX sharing_other ON sharing (other);

     CREATE TABLE fact (
         snapshot TEXT NOT NULL, kind TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (snapshot, kind)
     );

     CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

     CREATE TRIGGER snapshot_removed AFTER DELETE ON snapshot BEGIN
         DELETE FROM name WHERE snapshot = old.id;
         DELETE FROM chain WHERE snapshot = old.id;
         DELETE FROM diff WHERE snapshot = old.id;
         DELETE FROM layer WHERE snapshot = old.id;
         DELETE FROM cache_mount WHERE snapshot = old.id;
         DELETE FROM fact WHERE snapshot = old.id;
         DELETE FROM sharing WHERE old.id IN (snapshot, other);
     END;",
    // Blobs that stay as long as a snapshot does without being forms of it. And rows of `sharing` were looked
    // for without an index.
    "CREATE TABLE attached (
         snapshot TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (snapshot, digest)
     ) WITHOUT ROWID;
     CREATE INDEX attached_digest ON attached (digest);

     DROP TRIGGER snapshot_removed;
     CREATE TRIGGER snapshot_removed AFTER DELETE ON snapshot BEGIN
         DELETE FROM name WHERE snapshot = old.id;
         DELETE FROM chain WHERE snapshot = old.id;
         DELETE FROM diff WHERE snapshot = old.id;
         DELETE FROM layer WHERE snapshot = old.id;
         DELETE FROM attached WHERE snapshot = old.id;
         DELETE FROM cache_mount WHERE snapshot = old.id;
         DELETE FROM fact WHERE snapshot = old.id;
         DELETE FROM sharing WHERE snapshot = old.id;
         DELETE FROM sharing WHERE other = old.id;
     END;",
    // Where files with several names come from; what there is was linked at one path each.
    "CREATE TABLE origin (
         snapshot TEXT NOT NULL, origin TEXT NOT NULL, place TEXT NOT NULL,
         PRIMARY KEY (snapshot, origin, place)
     ) WITHOUT ROWID;
     INSERT INTO origin SELECT snapshot, other, '' FROM sharing;
     CREATE TRIGGER origin_removed AFTER DELETE ON snapshot BEGIN
         DELETE FROM origin WHERE snapshot = old.id;
     END;",
    // Where layers that no registry may hand on are to be had.
    "ALTER TABLE layer ADD COLUMN urls TEXT NOT NULL DEFAULT '[]';",
];

/// Tables whose rows go with a snapshot, and the column that names it.
pub(crate) const HANGING: &[(&str, &str)] = &[
    ("name", "snapshot"),
    ("chain", "snapshot"),
    ("diff", "snapshot"),
    ("layer", "snapshot"),
    ("attached", "snapshot"),
    ("cache_mount", "snapshot"),
    ("fact", "snapshot"),
    ("sharing", "snapshot"),
    ("sharing", "other"),
    ("origin", "snapshot"),
];

/// Removes rows that hang on snapshots which are gone.
pub(crate) fn delete_hanging(db: &Connection) -> Result<()> {
    for (table, column) in HANGING {
        db.execute(&format!("DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM snapshot)"), [])?;
    }
    Ok(())
}

/// The snapshotter that a root was made with.
pub(crate) fn snapshotter(db: &Connection) -> Result<Option<String>> {
    db.query_row("SELECT value FROM setting WHERE key = 'snapshotter'", [], |row| row.get(0)).optional()
}

pub(super) fn set_snapshotter(db: &Connection, name: &str) -> Result<()> {
    db.execute("INSERT OR REPLACE INTO setting VALUES ('snapshotter', ?1)", [name]).map(|_| ())
}
