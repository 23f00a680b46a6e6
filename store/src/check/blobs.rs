//! Blobs: rows, files, and what is in them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use slipway_model::{BlobDigest, Digest};

use super::{Finding, Inspection};
use crate::blob::{digest_of, file_of, files_of};
use crate::error::{At as _, Result, if_exists};

pub(super) fn check(root: &Path, db: &Connection, deep: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let mut rows = match rows(db) {
        Ok(rows) => rows,
        Err(error) => {
            findings.push(Inspection::query_failed(error));
            return Ok(());
        }
    };
    let folder = root.join("blobs/sha256");
    for path in if_exists(files_of(&folder))?.unwrap_or_default() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = format!("sha256:{name}");
        match digest.parse::<BlobDigest>().ok().zip(rows.remove(&digest)) {
            Some((digest, size)) if file_of(&folder, &digest).is_ok_and(|own| own == path) => {
                file(&path, digest, size, deep, findings)?;
            }
            _ => findings.push(Finding::new("blob-leftover", path.display(), "a file that no row names")),
        }
    }
    findings.extend(
        rows.into_keys().map(|digest| Finding::new("blob-missing", digest, "its file does not exist")),
    );
    let unfinished = root.join("ingest");
    for entry in if_exists(std::fs::read_dir(&unfinished).at("list", &unfinished))?.into_iter().flatten() {
        let path = entry.at("list", &unfinished)?.path();
        findings.push(Finding::new("blob-leftover", path.display(), "a blob that was never finished"));
    }
    Ok(())
}

fn rows(db: &Connection) -> rusqlite::Result<HashMap<String, u64>> {
    db.prepare("SELECT digest, size FROM blob")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn file(path: &Path, digest: BlobDigest, size: u64, deep: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let file = File::open(path).at("open", path)?;
    let actual = file.metadata().at("stat", path)?.len();
    if actual != size {
        findings.push(Finding::new("blob-size", digest, format!("has {actual} bytes, noted are {size}")));
    } else if deep {
        let actual: Digest = digest_of(&file).at("read", path)?;
        if actual != digest.0 {
            findings.push(Finding::new("blob-content", digest, format!("its content has digest {actual}")));
        }
    }
    Ok(())
}
