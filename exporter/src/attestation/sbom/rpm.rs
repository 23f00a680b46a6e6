//! rpm's databases: headers, in SQLite or in rpm's own form (`ndb`).
//!
//! A header is an index of tags over a store of values, all numbers big-endian. In `ndb`, slots of 16 bytes
//! (little-endian) say at which 16-byte block each header begins; the first two are the file's own.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use rusqlite::{Connection, OpenFlags};
use slipway_model::PackageUrl;

use super::{Distribution, Package};

/// One package's header is not larger.
const LARGEST_HEADER: usize = 64 << 20;
const MOST_PACKAGES: usize = 200_000;

/// Tags of rpm.
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const ARCHITECTURE: u32 = 1022;
    pub(super) const SOURCE: u32 = 1044;
}

/// The file is foreign: it is opened as one that never changes, and none of its triggers and views is trusted.
pub(super) fn sqlite(file: &File, path: &str, distribution: &Distribution) -> Result<Vec<Package>, String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let address = format!("file:/proc/self/fd/{}?immutable=1", file.as_raw_fd());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(address, flags).map_err(failed)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON").map_err(failed)?;
    let mut query = db.prepare("SELECT blob FROM Packages").map_err(failed)?;
    let blobs = query.query_map([], |row| row.get::<_, Vec<u8>>(0)).map_err(failed)?;
    let mut packages = Vec::new();
    for blob in blobs.take(MOST_PACKAGES) {
        packages.extend(package(&blob.map_err(failed)?, path, distribution));
    }
    Ok(packages)
}

pub(super) fn ndb(bytes: &[u8], path: &str, distribution: &Distribution) -> Result<Vec<Package>, String> {
    const PAGE: usize = 4096;
    if !bytes.starts_with(b"RpmP") {
        return Err("no rpm database".into());
    }
    let number = |at: usize| little(bytes, at).map(|number| number as usize);
    let pages = number(12).unwrap_or(0).min(bytes.len() / PAGE);
    let mut packages = Vec::new();
    for slot in 2..pages * (PAGE / 16) {
        let at = slot * 16;
        let is_slot = bytes.get(at..at + 4) == Some(b"Slot");
        let (Some(index), Some(block)) = (number(at + 4), number(at + 8)) else { break };
        if !is_slot || index == 0 {
            continue;
        }
        let blob = block.saturating_mul(16);
        let is_blob = bytes.get(blob..blob.saturating_add(4)) == Some(b"BlbS");
        let Some(length) = number(blob.saturating_add(12)).filter(|length| *length <= LARGEST_HEADER) else {
            continue;
        };
        let header = bytes.get(blob + 16..(blob + 16).saturating_add(length));
        if let (true, Some(header)) = (is_blob, header) {
            packages.extend(package(header, path, distribution));
        }
    }
    Ok(packages)
}

fn package(header: &[u8], path: &str, distribution: &Distribution) -> Option<Package> {
    let header = Header::of(header)?;
    let text = |tag: u32| header.text(tag).unwrap_or_default();
    let name = text(tag::NAME);
    // Keys of signers are kept as packages of this name.
    if name.is_empty() || name == "gpg-pubkey" {
        return None;
    }
    let version = format!("{}-{}", text(tag::VERSION), text(tag::RELEASE));
    let family = if distribution.id.is_empty() { "redhat" } else { &distribution.id };
    let epoch = header.number(tag::EPOCH).filter(|epoch| *epoch > 0).map(|epoch| epoch.to_string());
    let purl = PackageUrl::new("rpm", family, &name, &version)
        .with("arch", &text(tag::ARCHITECTURE))
        .with("distro", &distribution.name())
        .with("epoch", &epoch.unwrap_or_default())
        .with("upstream", &text(tag::SOURCE));
    let (license, supplier) = (text(tag::LICENSE), text(tag::VENDOR));
    Some(Package { license, supplier, ..Package::new(purl, path) })
}

struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (entries, length) = (big(bytes, 0)? as usize, big(bytes, 4)? as usize);
        let index = bytes.get(8..entries.checked_mul(16)?.checked_add(8)?)?;
        let store = bytes.get(8 + index.len()..(8 + index.len()).checked_add(length)?)?;
        Some(Self { index, store })
    }

    /// Where the value of a tag is, and of which type it is.
    fn find(&self, wanted: u32) -> Option<(u32, usize)> {
        let entry = self.index.chunks_exact(16).find(|entry| big(entry, 0) == Some(wanted))?;
        Some((big(entry, 4)?, big(entry, 8)? as usize))
    }

    fn text(&self, wanted: u32) -> Option<String> {
        const TEXTS: [u32; 3] = [6, 8, 9];
        let (kind, at) = self.find(wanted).filter(|(kind, _)| TEXTS.contains(kind))?;
        let _ = kind;
        let rest = self.store.get(at..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn number(&self, wanted: u32) -> Option<u32> {
        const INT32: u32 = 4;
        let (_, at) = self.find(wanted).filter(|(kind, _)| *kind == INT32)?;
        big(self.store, at)
    }
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these texts.
    fn header(texts: &[(u32, &str)], epoch: u32) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        let mut entry = |tag: u32, kind: u32, at: usize| {
            for number in [tag, kind, at as u32, 1] {
                index.extend(number.to_be_bytes());
            }
        };
        entry(tag::EPOCH, 4, 0);
        store.extend(epoch.to_be_bytes());
        for (tag, text) in texts {
            entry(*tag, 6, store.len());
            store.extend(text.bytes().chain([0]));
        }
        let entries = (index.len() / 16) as u32;
        [&entries.to_be_bytes()[..], &(store.len() as u32).to_be_bytes(), &index, &store].concat()
    }

    fn bash() -> Vec<u8> {
        header(
            &[
                (tag::NAME, "bash"),
                (tag::VERSION, "5.2"),
                (tag::RELEASE, "1.fc40"),
                (tag::LICENSE, "GPL-3.0"),
            ],
            2,
        )
    }

    #[test]
    fn a_header() {
        let found = package(&bash(), "db", &Distribution::parse("ID=fedora\nVERSION_ID=40\n")).unwrap();
        assert_eq!(found.purl.to_string(), "pkg:rpm/fedora/bash@5.2-1.fc40?distro=fedora-40&epoch=2");
        assert_eq!(found.license, "GPL-3.0");
        assert!(package(&header(&[(tag::NAME, "gpg-pubkey")], 0), "db", &Distribution::default()).is_none());
        for end in 0..bash().len() {
            let _ = package(&bash()[..end], "db", &Distribution::default());
        }
    }

    #[test]
    fn rpms_own_form() {
        let header = bash();
        let mut file = vec![0; 8192];
        file[..4].copy_from_slice(b"RpmP");
        file[12..16].copy_from_slice(&1u32.to_le_bytes());
        file[32..36].copy_from_slice(b"Slot");
        file[36..40].copy_from_slice(&1u32.to_le_bytes());
        file[40..44].copy_from_slice(&256u32.to_le_bytes());
        file[4096..4100].copy_from_slice(b"BlbS");
        file[4108..4112].copy_from_slice(&(header.len() as u32).to_le_bytes());
        file[4112..4112 + header.len()].copy_from_slice(&header);
        let found = ndb(&file, "db", &Distribution::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl.name, "bash");
        assert!(ndb(b"other", "db", &Distribution::default()).is_err());
    }

    #[test]
    fn in_sqlite() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let db = Connection::open(file.path()).unwrap();
        db.execute_batch("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)").unwrap();
        db.execute("INSERT INTO Packages (blob) VALUES (?1)", [bash()]).unwrap();
        drop(db);
        let found = sqlite(file.as_file(), "db", &Distribution::default()).unwrap();
        assert_eq!(found[0].purl.name, "bash");
    }
}
