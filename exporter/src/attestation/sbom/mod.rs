//! A bill of materials of a tree, without running anything: what package databases and lock files say.
//!
//! | found | read by |
//! |---|---|
//! | `var/lib/dpkg/status`, `var/lib/dpkg/status.d/*` | [`dpkg`] |
//! | `lib/apk/db/installed` | [`apk`] |
//! | `rpmdb.sqlite`, `Packages.db` of rpm | [`rpm`] |
//! | `Cargo.lock`, `package-lock.json`, `yarn.lock`, `pnpm-lock.yaml`, `go.sum`, `Gemfile.lock`, `composer.lock`, `poetry.lock`, `uv.lock`, `Pipfile.lock`, `*.dist-info/METADATA` | [`locks`] |
//!
//! What a file of the tree says is foreign: it is read to a limit, and what cannot be read is passed over with a line
//! in the log. The same tree gives the same document ([`document`]): its time is the build's `SOURCE_DATE_EPOCH`, or
//! the first second of 1970.
//!
//! Absent: rpm databases of Berkeley DB (before Fedora 33 and RHEL 9), binaries that tell their modules (Go, Rust),
//! jars. A scanner in an image finds those.

mod apk;
mod document;
mod dpkg;
mod locks;
mod rpm;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use slipway_model::PackageUrl;
use slipway_store::layer::tar::Kind;
use slipway_store::{Ref, inroot};

use crate::error::{Error, Result};
use crate::files::{Files, TreeFile};

/// A database or lock file is not larger than this.
const LARGEST: u64 = 128 << 20;
/// Packages of one document.
const MOST: usize = 500_000;

/// Something installed, or locked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    purl: PackageUrl,
    /// As the database calls it; empty if it does not.
    license: String,
    /// Who made the package; empty if nobody says.
    supplier: String,
    /// The file that says so.
    found_in: String,
}

impl Package {
    fn new(purl: PackageUrl, found_in: &str) -> Self {
        Self { purl, license: String::new(), supplier: String::new(), found_in: found_in.to_owned() }
    }
}

/// What `etc/os-release` says.
#[derive(Clone, Debug, Default)]
struct Distribution {
    id: String,
    version: String,
    pretty: String,
}

impl Distribution {
    fn of(tree: &Ref) -> Result<Self> {
        let mounted = tree.mount()?;
        let read = |path: &str| inroot::read_to_limit(mounted.root(), Path::new(path), 64 << 10).ok();
        let text = read("etc/os-release").or_else(|| read("usr/lib/os-release")).unwrap_or_default();
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match key.trim() {
                "ID" => found.id = value,
                "VERSION_ID" => found.version = value,
                "PRETTY_NAME" => found.pretty = value,
                _ => {}
            }
        }
        found
    }

    /// `debian-12`, as package URLs name it.
    fn name(&self) -> String {
        match (&*self.id, &*self.version) {
            ("", _) => String::new(),
            (id, "") => id.to_owned(),
            (id, version) => format!("{id}-{version}"),
        }
    }
}

/// The SBOM of `tree` as SPDX 2.3. Blocks.
pub fn generate(tree: &Ref, epoch: Option<i64>) -> Result<Bytes> {
    let distribution = Distribution::of(tree)?;
    let mut packages: BTreeMap<PackageUrl, Package> = BTreeMap::new();
    for file in Files::of(tree, None)? {
        let file = file?;
        if !matches!(file.entry.kind, Kind::File | Kind::HardLink) {
            continue;
        }
        let path = String::from_utf8_lossy(&file.entry.name).into_owned();
        let Some(reader) = Reader::of(&path) else { continue };
        match reader.read(&file, &path, &distribution) {
            Ok(found) => {
                for package in found {
                    packages.entry(package.purl.clone()).or_insert(package);
                }
            }
            Err(error) => tracing::warn!(path, error, "a file is missing from an SBOM"),
        }
        if packages.len() > MOST {
            return Err(Error::Attestation(format!("more than {MOST} packages in one SBOM")));
        }
    }
    document::write(packages.into_values().collect(), &distribution, epoch)
}

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Dpkg,
    Apk,
    RpmSqlite,
    RpmNdb,
    Lock(locks::Lock),
}

impl Reader {
    fn of(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        match (folder, name) {
            ("var/lib/dpkg", "status") => Some(Self::Dpkg),
            ("var/lib/dpkg/status.d", name) if !name.ends_with(".md5sums") => Some(Self::Dpkg),
            ("lib/apk/db" | "usr/lib/apk/db", "installed") => Some(Self::Apk),
            (folder, "rpmdb.sqlite") if folder.contains("rpm") => Some(Self::RpmSqlite),
            (folder, "Packages.db") if folder.contains("rpm") => Some(Self::RpmNdb),
            (folder, name) => locks::Lock::of(folder, name).map(Self::Lock),
        }
    }

    fn read(
        self,
        file: &TreeFile,
        path: &str,
        distribution: &Distribution,
    ) -> std::result::Result<Vec<Package>, String> {
        let opened = file.open().map_err(|error| error.to_string())?;
        if self == Self::RpmSqlite {
            return rpm::sqlite(&opened, path, distribution);
        }
        let mut bytes = Vec::new();
        opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("larger than {LARGEST} bytes"));
        }
        match self {
            Self::RpmNdb => rpm::ndb(&bytes, path, distribution),
            Self::Dpkg => Ok(dpkg::read(&String::from_utf8_lossy(&bytes), path, distribution)),
            Self::Apk => Ok(apk::read(&String::from_utf8_lossy(&bytes), path, distribution)),
            Self::Lock(lock) => lock.read(&String::from_utf8_lossy(&bytes), path),
            Self::RpmSqlite => Ok(Vec::new()),
        }
    }
}
