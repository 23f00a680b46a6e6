//! What is known of a snapshot as an image layer: learned when it is unpacked or first exported, and kept.
//!
//! A *chain id* finds the snapshot that holds an unpacked stack of layers, so that images share them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use slipway_model::{BlobDigest, ChainId, Descriptor, DiffId};

use super::Ref;
use crate::error::Result;
use crate::snapshot::SnapshotId;
use crate::store::Store;

/// One compressed (or not) form of a layer. The blob itself may be here, or only known to exist elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerBlob {
    pub digest: BlobDigest,
    pub media_type: String,
    /// Bytes, as stored.
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
    /// Where it is to be had, if registries may not hand it on.
    pub urls: Vec<String>,
}

impl LayerBlob {
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::new(self.media_type.clone(), self.digest, self.size);
        descriptor.annotations = self.annotations.clone();
        descriptor.urls = self.urls.clone();
        descriptor
    }
}

impl From<&Descriptor> for LayerBlob {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            annotations: descriptor.annotations.clone(),
            urls: descriptor.urls.clone(),
        }
    }
}

/// What is known of one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerFacts {
    pub diff_id: Option<DiffId>,
    /// In the order of their digests.
    pub blobs: Vec<LayerBlob>,
}

impl Store {
    /// The snapshot that holds this stack of layers.
    pub fn by_chain(&self, chain: &ChainId) -> Result<Option<Ref>> {
        let found: Option<SnapshotId> = self.inner.metadata.with(|db| {
            db.prepare_cached("SELECT snapshot FROM chain WHERE chain_id = ?1")?
                .query_row([chain.to_string()], |row| row.get(0))
                .optional()
        })?;
        found.map_or(Ok(None), |id| self.get(&id))
    }

    /// Lets `snapshot` be found by the chain id of its layers, and notes the layer it is. The first snapshot
    /// of a chain keeps it.
    pub fn set_chain(
        &self,
        snapshot: &Ref,
        chain: &ChainId,
        diff_id: &DiffId,
        blob: Option<&LayerBlob>,
    ) -> Result<()> {
        self.inner.metadata.with(|db| {
            db.prepare_cached("INSERT OR IGNORE INTO chain (chain_id, snapshot) VALUES (?1, ?2)")?
                .execute(params![chain.to_string(), snapshot.id()])?;
            set_diff_id(db, &snapshot.id(), diff_id)?;
            blob.map_or(Ok(()), |blob| add_blob(db, &snapshot.id(), blob))
        })
    }
}

impl Store {
    /// Whether the snapshot of this name is a layer of which some form is known.
    pub fn is_packed(&self, id: &SnapshotId) -> Result<bool> {
        let look =
            |db: &Connection| db.prepare_cached("SELECT 1 FROM layer WHERE snapshot = ?1")?.exists([id]);
        self.inner.metadata.with(look)
    }
}

impl Ref {
    pub fn layer_facts(&self) -> Result<LayerFacts> {
        self.store().inner.metadata.with(|db| facts(db, &self.id()))
    }

    /// Notes the digest of the uncompressed layer.
    pub fn set_diff_id(&self, diff_id: &DiffId) -> Result<()> {
        self.store().inner.metadata.with(|db| set_diff_id(db, &self.id(), diff_id))
    }

    /// Notes one form of the layer. A blob noted here is kept as long as the snapshot is.
    pub fn add_layer_blob(&self, blob: &LayerBlob) -> Result<()> {
        self.store().inner.metadata.with(|db| add_blob(db, &self.id(), blob))
    }
}

impl Ref {
    /// Keeps blobs that are no form of the layer for as long as the snapshot is here: an image's manifest and
    /// config, which are cheap to keep and slow to ask for. Costs a look if it is known.
    pub fn attach_blobs(&self, digests: &[BlobDigest]) -> Result<()> {
        let id = self.id();
        let metadata = &self.store().inner.metadata;
        let known = metadata.with(|db| attached(db, &id))?;
        let new: Vec<_> = digests.iter().filter(|digest| !known.contains(digest)).collect();
        if new.is_empty() {
            return Ok(());
        }
        metadata.with(|db| {
            let mut statement =
                db.prepare_cached("INSERT OR IGNORE INTO attached (snapshot, digest) VALUES (?1, ?2)")?;
            new.iter().try_for_each(|digest| statement.execute(params![id, digest.to_string()]).map(drop))
        })
    }
}

fn attached(db: &Connection, id: &SnapshotId) -> rusqlite::Result<Vec<BlobDigest>> {
    db.prepare_cached("SELECT digest FROM attached WHERE snapshot = ?1")?
        .query_map([id], |row| row.get::<_, String>(0)?.parse().map_err(invalid))?
        .collect()
}

fn set_diff_id(db: &Connection, id: &SnapshotId, diff_id: &DiffId) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO diff (snapshot, diff_id) VALUES (?1, ?2)")?
        .execute(params![id, diff_id.to_string()])?;
    Ok(())
}

fn add_blob(db: &Connection, id: &SnapshotId, blob: &LayerBlob) -> rusqlite::Result<()> {
    let annotations = serde_json::to_string(&blob.annotations).map_err(invalid)?;
    let urls = serde_json::to_string(&blob.urls).map_err(invalid)?;
    // An image that has the layer as its own knows of no place; another one still does.
    db.prepare_cached(
        "INSERT INTO layer (snapshot, digest, media_type, size, annotations, urls)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (snapshot, digest) DO UPDATE SET
             media_type = excluded.media_type, size = excluded.size, annotations = excluded.annotations,
             urls = CASE excluded.urls WHEN '[]' THEN urls ELSE excluded.urls END",
    )?
    .execute(params![id, blob.digest.to_string(), blob.media_type, blob.size, annotations, urls])?;
    Ok(())
}

/// The blobs that are forms of a snapshot.
pub(crate) fn blobs_of(db: &Connection, id: &SnapshotId) -> rusqlite::Result<Vec<BlobDigest>> {
    db.prepare_cached("SELECT digest FROM layer WHERE snapshot = ?1")?
        .query_map([id], |row| row.get::<_, String>(0)?.parse().map_err(invalid))?
        .collect()
}

fn facts(db: &Connection, id: &SnapshotId) -> rusqlite::Result<LayerFacts> {
    let diff_id: Option<String> = db
        .prepare_cached("SELECT diff_id FROM diff WHERE snapshot = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let blobs = db
        .prepare_cached(
            "SELECT digest, media_type, size, annotations, urls FROM layer WHERE snapshot = ?1
             ORDER BY digest",
        )?
        .query_map([id], |row| Ok(layer_blob(row)))?
        // A damaged row is none: what it told is found out again.
        .filter_map(|blob| blob.and_then(|blob| blob).inspect_err(|error| damaged(id, error)).ok())
        .collect();
    let diff_id = diff_id.map(|text| text.parse().map_err(invalid));
    let diff_id = diff_id.and_then(|parsed| parsed.inspect_err(|error| damaged(id, error)).ok());
    Ok(LayerFacts { diff_id, blobs })
}

fn layer_blob(row: &rusqlite::Row<'_>) -> rusqlite::Result<LayerBlob> {
    Ok(LayerBlob {
        digest: row.get::<_, String>(0)?.parse().map_err(invalid)?,
        media_type: row.get(1)?,
        size: row.get(2)?,
        annotations: serde_json::from_str(&row.get::<_, String>(3)?).map_err(invalid)?,
        urls: serde_json::from_str(&row.get::<_, String>(4)?).map_err(invalid)?,
    })
}

fn damaged(id: &SnapshotId, error: &rusqlite::Error) {
    tracing::warn!(snapshot = %id, %error, "what was known of a snapshot as a layer is damaged");
}

/// A row that does not hold what was put in.
fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
