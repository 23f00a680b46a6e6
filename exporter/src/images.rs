//! Images by name, in the store: what `image` leaves for later builds and for other programs.
//!
//! A named image's blobs are held for as long as the process lives, and again at its next start. Its layers are
//! told as shared. When pruning takes one of them, or its manifest, the name goes with it: the image is cache like
//! all the rest, and would else keep the bytes that were to be freed.
//!
//! Where blobs are another program's, that program may have names, too ([`Register`]): ours are given there as well, and
//! stay there when our cache is pruned. The image is then in that program's keeping, as if it had been pulled by it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rusqlite::OptionalExtension as _;
use slipway_model::{BlobDigest, Descriptor};
use slipway_store::check::Finding;
use slipway_store::{BlobLease, SharedBlobs, Store};

use crate::error::{Error, Result};
use crate::image::Committed;

const STEPS: &[&str] = &["
    CREATE TABLE image (name TEXT PRIMARY KEY, descriptor TEXT NOT NULL) STRICT;
    CREATE TABLE image_blob (
        name TEXT NOT NULL REFERENCES image (name) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        PRIMARY KEY (name, digest)
    ) STRICT;
"];

/// Names whose image is not whole: a blob of it is not in the store. For a database that nobody uses.
pub fn check(db: &rusqlite::Connection) -> rusqlite::Result<Vec<Finding>> {
    let table =
        db.query_row("SELECT 1 FROM sqlite_master WHERE name = 'image_blob'", [], |_| Ok(())).optional()?;
    if table.is_none() {
        return Ok(Vec::new());
    }
    db.prepare("SELECT name, digest FROM image_blob WHERE digest NOT IN (SELECT digest FROM blob)")?
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
        .map(|row| {
            let (name, digest) = row?;
            Ok(Finding::new("image-blob", name, format!("its blob {digest} is not in the store")))
        })
        .collect()
}

/// Names of images that another program keeps for all its clients. Blocks.
pub trait Register: Send + Sync {
    /// Gives `image`, whose blobs are in the store, a name.
    fn set(&self, name: &str, image: &Committed) -> std::result::Result<(), RegisterError>;

    /// Takes a name away; fine if nothing has it.
    fn remove(&self, name: &str) -> std::result::Result<(), RegisterError>;

    /// Makes it ready to be run by others.
    fn unpack(&self, image: &Committed) -> std::result::Result<(), RegisterError>;
}

/// In the words of the program.
pub type RegisterError = Box<dyn std::error::Error + Send + Sync>;

/// The named images of a store. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    store: Store,
    held: Arc<Mutex<HashMap<String, Held>>>,
    register: Option<Arc<dyn Register>>,
}

/// What a name keeps.
struct Held {
    digests: Vec<BlobDigest>,
    _leases: Vec<BlobLease>,
    _shared: SharedBlobs,
}

impl Held {
    fn new(store: &Store, digests: Vec<BlobDigest>) -> Self {
        let leases = digests.iter().map(|digest| store.blobs().hold(digest)).collect();
        Self { _leases: leases, _shared: store.share_blobs(digests.clone()), digests }
    }
}

/// The images, for those whom the store calls: they must not keep it open.
pub struct WeakImages {
    metadata: slipway_store::metadata::Metadata,
    held: Weak<Mutex<HashMap<String, Held>>>,
}

impl Images {
    pub fn open(store: &Store, register: Option<Arc<dyn Register>>) -> Result<Self> {
        store.metadata().migrate("images", STEPS)?;
        // A power loss, or damage, takes blobs; an image that is not whole is none.
        let torn = store.metadata().with(|db| {
            db.execute(
                "DELETE FROM image WHERE name IN
                 (SELECT name FROM image_blob WHERE digest NOT IN (SELECT digest FROM blob))",
                [],
            )?;
            db.execute("DELETE FROM image_blob WHERE name NOT IN (SELECT name FROM image)", [])
        })?;
        if torn > 0 {
            tracing::warn!("images whose blobs were lost have lost their names");
        }
        let images = Self { store: store.clone(), held: Arc::default(), register };
        let named = store.metadata().with(|db| {
            db.prepare("SELECT name, digest FROM image_blob")?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
                .collect::<Result<Vec<_>, _>>()
        })?;
        let mut digests: HashMap<String, Vec<BlobDigest>> = HashMap::new();
        for (name, digest) in named {
            digests.entry(name).or_default().extend(digest.parse::<BlobDigest>().ok());
        }
        let held = digests.into_iter().map(|(name, digests)| (name, Held::new(store, digests)));
        *images.held.lock() = held.collect();
        Ok(images)
    }

    /// Gives `image` a name; the image that had it is nameless then.
    pub fn set(&self, name: &str, image: &Committed) -> Result<()> {
        let descriptor = serde_json::to_string(&image.root).map_err(Error::json("a descriptor"))?;
        let digests: Vec<BlobDigest> = image.blobs().iter().map(|blob| blob.digest).collect();
        if let Some(register) = &self.register {
            let failed = |source| Error::Register { name: name.to_owned(), source };
            register.set(name, image).map_err(failed)?;
        }
        let mut held = self.held.lock();
        self.store.metadata().with(|db| {
            db.execute(
                "INSERT OR REPLACE INTO image (name, descriptor) VALUES (?1, ?2)",
                (name, &descriptor),
            )?;
            db.execute("DELETE FROM image_blob WHERE name = ?1", [name])?;
            for digest in &digests {
                db.execute(
                    "INSERT INTO image_blob (name, digest) VALUES (?1, ?2)",
                    (name, digest.to_string()),
                )?;
            }
            Ok(())
        })?;
        held.insert(name.to_owned(), Held::new(&self.store, digests));
        Ok(())
    }

    /// The index or manifest of this name.
    pub fn get(&self, name: &str) -> Result<Option<Descriptor>> {
        let found: Option<String> = self.store.metadata().with(|db| {
            db.query_row("SELECT descriptor FROM image WHERE name = ?1", [name], |row| row.get(0)).optional()
        })?;
        found.map(|json| serde_json::from_str(&json).map_err(Error::json("a descriptor"))).transpose()
    }

    /// All names, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.store.metadata().with(|db| {
            db.prepare("SELECT name FROM image ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
        })?)
    }

    /// Makes an image ready to be run. A snapshot of this store is its own unpacked image; others may want more.
    pub fn unpack(&self, name: &str, image: &Committed) -> Result<()> {
        let failed = |source| Error::Unpack { name: name.to_owned(), source };
        self.register.as_ref().map_or(Ok(()), |register| register.unpack(image).map_err(failed))
    }

    /// Takes the name away; fine if nothing has it.
    pub fn remove(&self, name: &str) -> Result<()> {
        if let Some(register) = &self.register {
            let failed = |source| Error::Register { name: name.to_owned(), source };
            register.remove(name).map_err(failed)?;
        }
        let mut held = self.held.lock();
        remove_rows(self.store.metadata(), name)?;
        held.remove(name);
        Ok(())
    }

    /// Does not keep the store open.
    pub fn downgrade(&self) -> WeakImages {
        WeakImages { metadata: self.store.metadata().clone(), held: Arc::downgrade(&self.held) }
    }
}

impl WeakImages {
    /// All names; none once the store is closed.
    pub fn names(&self) -> Vec<String> {
        self.held.upgrade().map_or_else(Vec::new, |held| held.lock().keys().cloned().collect())
    }

    /// The other program has taken this name away.
    pub fn forget(&self, name: &str) {
        let Some(held) = self.held.upgrade() else { return };
        let mut held = held.lock();
        match remove_rows(&self.metadata, name) {
            Ok(()) => drop(held.remove(name)),
            Err(error) => tracing::warn!(%error, name, "the image keeps its name though it was removed"),
        }
    }

    /// These blobs go, or are no snapshots any more: takes the names of the images that have them away.
    pub fn blobs_removed(&self, blobs: &[BlobDigest]) {
        let Some(held) = self.held.upgrade() else { return };
        let blobs: HashSet<_> = blobs.iter().collect();
        let mut held = held.lock();
        let lose = |held: &Held| held.digests.iter().any(|digest| blobs.contains(digest));
        let names: Vec<_> =
            held.iter().filter(|(_, held)| lose(held)).map(|(name, _)| name.clone()).collect();
        for name in names {
            match remove_rows(&self.metadata, &name) {
                Ok(()) => drop(held.remove(&name)),
                Err(error) => tracing::warn!(%error, name, "the image keeps its name though it was pruned"),
            }
        }
    }
}

fn remove_rows(metadata: &slipway_store::metadata::Metadata, name: &str) -> slipway_store::Result<()> {
    metadata.with(|db| {
        db.execute("DELETE FROM image_blob WHERE name = ?1", [name])?;
        db.execute("DELETE FROM image WHERE name = ?1", [name]).map(drop)
    })
}
