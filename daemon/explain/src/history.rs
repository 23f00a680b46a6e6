//! The latest builds on disk, in the metadata database.
//!
//! | table | a row is | goes |
//! |---|---|---|
//! | `explain_build` | a build: its steps as compressed JSON | beyond [`MOST_BUILDS`], or after [`OLDEST`] |
//! | `explain_material` | an operation's material, by its digest | with the last build that names it |
//! | `explain_listing` | the files behind a content key | the same, or beyond [`MOST_LISTED`] bytes in all, the oldest first |
//!
//! A build is one batch of writes, after it was answered; one in which nothing ran writes one row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};
use slipway_store::content_hash::Manifest;
use slipway_store::metadata::Metadata;

use crate::build::Build;
use crate::compare::Materials;
use crate::error::{Error, Result};
use crate::material::Material;

const STEPS: &[&str] = &["
    CREATE TABLE explain_build (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        id      TEXT    NOT NULL,
        lineage TEXT    NOT NULL,
        started INTEGER NOT NULL, -- milliseconds since 1970
        ended   INTEGER NOT NULL, -- the same
        steps   BLOB    NOT NULL
    );
    CREATE INDEX explain_build_id ON explain_build (id);
    CREATE INDEX explain_build_lineage ON explain_build (lineage, seq);
    CREATE TABLE explain_material (id TEXT PRIMARY KEY, text BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE explain_listing (
        seq   INTEGER PRIMARY KEY AUTOINCREMENT,
        key   TEXT    NOT NULL UNIQUE,
        files BLOB    NOT NULL
    );
    CREATE TABLE explain_salt (value TEXT NOT NULL);
"];

/// Builds that are kept.
pub const MOST_BUILDS: usize = 256;
/// So many more may gather before they are counted again.
const SLACK: usize = 32;
/// Milliseconds after which a build is forgotten.
pub const OLDEST: i64 = 90 * 24 * 3600 * 1000;
/// Bytes of all lists of files together.
pub const MOST_LISTED: i64 = 48 << 20;
/// A build that is read back is not larger than this.
const LARGEST_BUILD: usize = 64 << 20;

/// Cheap to clone.
#[derive(Clone)]
pub struct History {
    metadata: Metadata,
    salt: Arc<str>,
    /// Held while writing: what is being named must not be swept.
    writing: Arc<Mutex<usize>>,
}

/// One build in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub started: i64,
    pub ended: i64,
}

impl History {
    /// Brings the tables up to date. Blocks.
    pub fn open(metadata: Metadata) -> Result<Self> {
        metadata.migrate("explain", STEPS)?;
        let salt = metadata.with(|db| {
            let known: Option<String> =
                db.query_row("SELECT value FROM explain_salt", [], |row| row.get(0)).optional()?;
            if let Some(salt) = known {
                return Ok(salt);
            }
            let salt: String = db.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
            db.execute("INSERT INTO explain_salt VALUES (?1)", [&salt])?;
            Ok(salt)
        })?;
        // The first build counts what an earlier process has left.
        Ok(Self { metadata, salt: salt.into(), writing: Arc::new(Mutex::new(SLACK)) })
    }

    /// What hidden values are hashed with.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// Keeps `build`, and what its steps name. Blocks.
    pub fn keep(&self, build: &Build, materials: &HashMap<String, Arc<Material>>) -> Result<()> {
        let mut since = self.writing.lock();
        let steps = compressed("a build", &serde_json::to_vec(build).unwrap_or_default())?;
        let mut texts = Vec::new();
        for (id, material) in materials {
            texts.push((id, serde_json::to_vec(&**material).unwrap_or_default()));
        }
        self.metadata.with(|db| {
            let mut insert = db.prepare_cached("INSERT OR IGNORE INTO explain_material VALUES (?1, ?2)")?;
            for (id, text) in &texts {
                insert.execute(params![id, text])?;
            }
            db.prepare_cached(
                "INSERT INTO explain_build (id, lineage, started, ended, steps) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![build.id, build.lineage, build.started, build.ended, steps])
        })?;
        *since += 1;
        if *since > SLACK {
            self.sweep(build.ended)?;
            *since = 0;
        }
        Ok(())
    }

    /// Keeps the list behind the content key `key`. Blocks.
    pub fn keep_listing(&self, key: &str, manifest: &Manifest) -> Result<()> {
        let files =
            manifest.to_bytes().map_err(|source| Error::Encode { what: "a list of files", source })?;
        let _held = self.writing.lock();
        self.metadata.with(|db| {
            db.prepare_cached("INSERT OR IGNORE INTO explain_listing (key, files) VALUES (?1, ?2)")?
                .execute(params![key, files])
        })?;
        Ok(())
    }

    pub fn has_listing(&self, key: &str) -> Result<bool> {
        let found = self.metadata.with(|db| {
            db.prepare_cached("SELECT 1 FROM explain_listing WHERE key = ?1")?
                .query_row([key], |_| Ok(()))
                .optional()
        })?;
        Ok(found.is_some())
    }

    pub fn listing(&self, key: &str) -> Result<Option<Manifest>> {
        let files: Option<Vec<u8>> = self.metadata.with(|db| {
            db.prepare_cached("SELECT files FROM explain_listing WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        })?;
        Ok(files.and_then(|files| Manifest::from_bytes(&files)))
    }

    /// The latest builds of `lineage`, and the latest of all, at most `count` each; newest first.
    pub fn candidates(&self, lineage: &str, count: usize) -> Result<Vec<Build>> {
        let rows: Vec<Vec<u8>> = self.metadata.with(|db| {
            db.prepare_cached(
                "SELECT seq, steps FROM explain_build WHERE seq IN (
                     SELECT seq FROM (SELECT seq FROM explain_build WHERE lineage = ?1 ORDER BY seq DESC LIMIT ?2)
                     UNION
                     SELECT seq FROM (SELECT seq FROM explain_build ORDER BY seq DESC LIMIT ?2))
                 ORDER BY seq DESC",
            )?
            .query_map(params![lineage, count as i64], |row| row.get(1))?
            .collect()
        })?;
        // One that is damaged explains nothing.
        Ok(rows.iter().filter_map(|steps| read("", steps).ok()).collect())
    }

    /// The latest build of `lineage`.
    pub fn latest(&self, lineage: &str) -> Result<Option<Build>> {
        let row: Option<(String, Vec<u8>)> = self.metadata.with(|db| {
            db.prepare_cached(
                "SELECT id, steps FROM explain_build WHERE lineage = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([lineage], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
        })?;
        row.map(|(id, steps)| read(&id, &steps)).transpose()
    }

    /// The latest build whose id begins with `id`; the latest of all if that is empty.
    pub fn build(&self, id: &str) -> Result<Option<Build>> {
        let row: Option<(String, Vec<u8>)> = self.metadata.with(|db| {
            db.prepare_cached(
                "SELECT id, steps FROM explain_build WHERE substr(id, 1, length(?1)) = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
        })?;
        row.map(|(id, steps)| read(&id, &steps)).transpose()
    }

    /// All that are kept, newest first.
    pub fn list(&self) -> Result<Vec<Entry>> {
        Ok(self.metadata.with(|db| {
            db.prepare_cached("SELECT id, started, ended FROM explain_build ORDER BY seq DESC")?
                .query_map([], |row| Ok(Entry { id: row.get(0)?, started: row.get(1)?, ended: row.get(2)? }))?
                .collect()
        })?)
    }

    /// The build that ran a step for the key `key` when the record of the time `made` was made.
    pub fn maker(&self, key: &[String], made: i64) -> Result<Option<String>> {
        let rows: Vec<(String, Vec<u8>)> = self.metadata.with(|db| {
            db.prepare_cached("SELECT id, steps FROM explain_build WHERE started <= ?1 AND ended >= ?1")?
                .query_map([made], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        let made_it = |build: &Build| {
            build.steps.iter().any(|step| step.outcome.is_work() && step.keys.iter().any(|k| key.contains(k)))
        };
        let found = rows.iter().filter_map(|(id, steps)| read(id, steps).ok()).find(made_it);
        Ok(found.map(|build| build.id))
    }

    /// Forgets what is too much or too old, and then what nobody names any more.
    fn sweep(&self, now: i64) -> Result<()> {
        let rows: Vec<Vec<u8>> = self.metadata.with(|db| {
            db.execute(
                "DELETE FROM explain_build WHERE ended < ?1 OR seq NOT IN (
                     SELECT seq FROM explain_build ORDER BY seq DESC LIMIT ?2)",
                params![now.saturating_sub(OLDEST), MOST_BUILDS as i64],
            )?;
            db.prepare("SELECT steps FROM explain_build")?.query_map([], |row| row.get(0))?.collect()
        })?;
        let (mut materials, mut contents) = (HashSet::new(), HashSet::new());
        for build in rows.iter().filter_map(|steps| read("", steps).ok()) {
            for step in build.steps {
                materials.insert(step.material);
                contents.extend(step.inputs.into_iter().filter_map(|input| input.content));
            }
        }
        self.metadata.with(|db| {
            delete_unless(db, "explain_material", "id", &materials)?;
            delete_unless(db, "explain_listing", "key", &contents)?;
            db.execute(
                "DELETE FROM explain_listing WHERE seq IN (
                     SELECT seq FROM (
                         SELECT seq, sum(length(files)) OVER (ORDER BY seq DESC) AS bytes FROM explain_listing)
                     WHERE bytes > ?1)",
                [MOST_LISTED],
            )
        })?;
        Ok(())
    }
}

impl Materials for History {
    fn material(&self, id: &str) -> Option<Arc<Material>> {
        let text: Option<Vec<u8>> = self
            .metadata
            .with(|db| {
                db.prepare_cached("SELECT text FROM explain_material WHERE id = ?1")?
                    .query_row([id], |row| row.get(0))
                    .optional()
            })
            .ok()
            .flatten();
        text.and_then(|text| serde_json::from_slice(&text).ok()).map(Arc::new)
    }
}

fn delete_unless(
    db: &Connection,
    table: &str,
    column: &str,
    named: &HashSet<String>,
) -> rusqlite::Result<()> {
    let known: Vec<String> = db
        .prepare(&format!("SELECT {column} FROM {table}"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = db.prepare(&format!("DELETE FROM {table} WHERE {column} = ?1"))?;
    known.iter().filter(|id| !named.contains(*id)).try_for_each(|id| delete.execute([id]).map(drop))
}

fn compressed(what: &'static str, bytes: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 1).map_err(|source| Error::Encode { what, source })
}

fn read(id: &str, steps: &[u8]) -> Result<Build> {
    let damaged = || Error::Damaged { what: format!("what is kept of build {id:?}") };
    let bytes = zstd::bulk::decompress(steps, LARGEST_BUILD).map_err(|_| damaged())?;
    let mut build: Build = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    // An input names an earlier step; everybody who walks a build relies on it.
    for (index, step) in build.steps.iter_mut().enumerate() {
        step.inputs.retain(|input| input.step < index);
    }
    Ok(build)
}
