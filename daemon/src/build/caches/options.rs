//! Options of caches, as clients write them. What is not known is an error that names it.

use std::collections::BTreeMap;

use serde::Deserialize;
use slipway_cache::remote::manifest::Form;
use slipway_exporter::options::Untaken;
use slipway_model::media_type::Compression;
use slipway_model::{BlobDigest, Reference};
use slipway_proto::control::CacheOptionsEntry;
use slipway_solver::with_causes;
use slipway_store::layer::LayerOptions;

use super::mounts::Wanted;
use super::objects::ObjectPlace;
use crate::build::failure::Failure;

/// Where a cache is, or goes.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Registry {
        reference: Reference,
        insecure: bool,
    },
    /// A store of the client's session.
    Client {
        store: String,
    },
    Objects(ObjectPlace),
}

/// A cache to be imported.
#[derive(Clone, Debug)]
pub(crate) struct CacheImport {
    pub(super) place: Place,
    /// Of its manifest, where the place needs to be told.
    pub(super) digest: Option<BlobDigest>,
    /// Whether cache mounts that travel along fill new ones.
    pub(super) mounts: bool,
}

/// A cache to be exported.
#[derive(Clone, Debug)]
pub(crate) struct CacheExport {
    /// `None`: in the image that is built.
    pub(super) place: Option<Place>,
    pub(super) mode: Mode,
    pub(super) form: Form,
    pub(super) layers: LayerOptions,
    /// A cache that cannot be written is told, but fails no build.
    pub(super) ignore_error: bool,
    /// Cache mounts to take along.
    pub(super) mounts: Option<Wanted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Min,
    Max,
}

impl CacheImport {
    /// As progress shows it, and as two requests for the same cache are known to be one.
    pub(super) fn name(&self) -> String {
        match (&self.place, &self.digest) {
            (Place::Registry { reference, .. }, _) => reference.to_string(),
            (Place::Client { store }, Some(digest)) => format!("{store}@{digest}"),
            (Place::Client { store }, None) => store.clone(),
            (Place::Objects(place), _) => place.name(),
        }
    }
}

impl CacheExport {
    pub(crate) fn is_inline(&self) -> bool {
        self.place.is_none()
    }

    /// Whether media types are OCI's.
    pub(super) fn is_oci(&self) -> bool {
        self.form != Form::Index { oci: false }
    }
}

pub(crate) fn entries(list: &[CacheOptionsEntry]) -> Result<Vec<CacheImport>, Failure> {
    list.iter().map(|cache| entry(&cache.r#type, &cache.attrs)).collect()
}

/// A cache to import.
pub(crate) fn entry(kind: &str, attributes: &BTreeMap<String, String>) -> Result<CacheImport, Failure> {
    let failed = |error: slipway_exporter::Error| invalid("importing", kind, &with_causes(&error));
    let missing = |option: &str| invalid("importing", kind, &format!("{option} is missing"));
    match kind {
        "registry" => {
            let mut options = Untaken::new("cache import registry", attributes);
            let place = registry(&mut options).map_err(|reason| invalid("importing", kind, &reason))?;
            let mounts = options.take_bool("mounts").map_err(failed)?.unwrap_or(true);
            options.finish().map_err(failed)?;
            Ok(CacheImport { place, digest: None, mounts })
        }
        "local" => {
            let mut options = Untaken::new("cache import local", attributes);
            let folder =
                options.take("src").filter(|folder| !folder.is_empty()).ok_or_else(|| missing("src"))?;
            // The client looks it up in the layout's index, which sessions do not show.
            let digest = options.take("digest").ok_or_else(|| missing("digest"))?;
            let digest = digest.parse().map_err(|error| invalid("importing", kind, &format!("{error}")))?;
            options.ignore("tag");
            let mounts = options.take_bool("mounts").map_err(failed)?.unwrap_or(true);
            options.finish().map_err(failed)?;
            Ok(CacheImport { place: Place::Client { store: store(&folder) }, digest: Some(digest), mounts })
        }
        "s3" | "azblob" | "gha" => {
            let mut options = Untaken::new("cache import", attributes);
            let place = ObjectPlace::take(kind, &mut options);
            let place = place.map_err(|reason| invalid("importing", kind, &reason))?;
            let mounts = options.take_bool("mounts").map_err(failed)?.unwrap_or(true);
            options.finish().map_err(failed)?;
            Ok(CacheImport { place: Place::Objects(place), digest: None, mounts })
        }
        other => Err(unknown(other)),
    }
}

/// Caches that a frontend is told to name: `cache-imports`, and the older `cache-from`.
pub(crate) fn of_frontend(options: &BTreeMap<String, String>) -> Result<Vec<CacheImport>, Failure> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(alias = "Type")]
        r#type: String,
        #[serde(default, alias = "Attrs")]
        attrs: BTreeMap<String, String>,
    }
    if let Some(json) = options.get("cache-imports").filter(|json| !json.is_empty()) {
        let list: Vec<Entry> = serde_json::from_str(json)
            .map_err(|error| Failure::invalid(format!("the option cache-imports is not valid: {error}")))?;
        return list.iter().map(|cache| entry(&cache.r#type, &cache.attrs)).collect();
    }
    let references = options.get("cache-from").into_iter().flat_map(|list| list.split(','));
    let references = references.filter(|reference| !reference.is_empty());
    references
        .map(|reference| entry("registry", &[("ref".to_owned(), reference.to_owned())].into()))
        .collect()
}

/// Caches to export, checked before anything is built.
pub(crate) fn prepare(list: &[CacheOptionsEntry]) -> Result<Vec<CacheExport>, Failure> {
    list.iter().map(|cache| exported(&cache.r#type, &cache.attrs)).collect()
}

fn exported(kind: &str, attributes: &BTreeMap<String, String>) -> Result<CacheExport, Failure> {
    let name = match kind {
        "registry" => "cache export registry",
        "local" => "cache export local",
        "inline" => "cache export inline",
        "s3" => "cache export s3",
        "azblob" => "cache export azblob",
        "gha" => "cache export gha",
        other => return Err(unknown(other)),
    };
    let mut options = Untaken::new(name, attributes);
    let place = match kind {
        "registry" => registry(&mut options).map(Some),
        "local" => {
            // What becomes of the folder's index is the client's own business.
            options.ignore("tag");
            options.ignore("reset");
            let folder = options.take("dest").filter(|folder| !folder.is_empty());
            folder.map(|folder| Some(Place::Client { store: store(&folder) })).ok_or("dest is missing".into())
        }
        "inline" => Ok(None),
        _ => ObjectPlace::take(kind, &mut options).map(|place| Some(Place::Objects(place))),
    };
    let place = place.map_err(|reason| invalid("exporting", kind, &reason))?;
    let failed = |error: slipway_exporter::Error| invalid("exporting", kind, &with_causes(&error));
    let mode = match options.take("mode").as_deref() {
        None | Some("" | "min") => Mode::Min,
        Some("max") => Mode::Max,
        Some(other) => {
            return Err(invalid("exporting", kind, &format!("the mode {other:?} is none: use min or max")));
        }
    };
    let compress = options.take_compression().map_err(failed)?;
    let oci = options.take_bool("oci-mediatypes").map_err(failed)?.unwrap_or(true);
    let image_manifest = options.take_bool("image-manifest").map_err(failed)?.unwrap_or(oci);
    let layers = LayerOptions {
        compress,
        force: options.take_bool("force-compression").map_err(failed)?.unwrap_or(false),
        ..LayerOptions::default()
    };
    let ignore_error = options.take_bool("ignore-error").map_err(failed)?.unwrap_or(false);
    let mounts = wanted_mounts(options.take("mounts"));
    options.finish().map_err(failed)?;
    if mounts.is_some() && place.is_none() {
        return Err(invalid("exporting", kind, "mounts: an image cannot carry cache mounts"));
    }
    if !oci && image_manifest {
        return Err(invalid("exporting", kind, "image-manifest=true needs oci-mediatypes=true"));
    }
    if compress.seekable {
        return Err(invalid("exporting", kind, "compression=estargz is for images: use gzip or zstd"));
    }
    if !oci && compress.compression == Compression::Zstd {
        return Err(invalid("exporting", kind, "compression=zstd needs oci-mediatypes=true"));
    }
    let form = if image_manifest { Form::ImageManifest } else { Form::Index { oci } };
    Ok(CacheExport { place, mode, form, layers, ignore_error, mounts })
}

/// `true`, or ids separated by `;`.
fn wanted_mounts(text: Option<String>) -> Option<Wanted> {
    match text?.as_str() {
        "0" | "f" | "F" | "false" | "FALSE" | "False" => None,
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Wanted::All),
        ids => Some(Wanted::These(ids.split(';').map(str::to_owned).collect())),
    }
}

fn registry(options: &mut Untaken) -> Result<Place, String> {
    let text = options.take("ref").filter(|text| !text.is_empty()).ok_or("ref is missing")?;
    let reference: Reference = text.parse().map_err(|error| format!("ref={text}: {error}"))?;
    let insecure = options.take_bool("registry.insecure").map_err(|error| with_causes(&error))?;
    Ok(Place::Registry { reference: reference.or_latest(), insecure: insecure.unwrap_or(false) })
}

/// What clients call the store of a folder.
fn store(folder: &str) -> String {
    format!("local:{folder}")
}

/// A cache that was asked for and cannot be had must not look like one that was empty.
fn unknown(kind: &str) -> Failure {
    Failure::unsupported(format!("a cache of type {kind:?} (use registry, local, inline, s3, azblob or gha)"))
}

fn invalid(doing: &str, kind: &str, reason: &str) -> Failure {
    Failure::invalid(format!("{doing} a cache of type {kind}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(text: &str) -> BTreeMap<String, String> {
        let fields = text.split(',').filter_map(|field| field.split_once('='));
        fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let export = exported("registry", &attributes("ref=example.com/cache")).unwrap();
        assert_eq!((export.mode, export.form, export.ignore_error), (Mode::Min, Form::ImageManifest, false));
        let docker = exported("local", &attributes("dest=x,oci-mediatypes=false,mode=max")).unwrap();
        assert_eq!((docker.mode, docker.form), (Mode::Max, Form::Index { oci: false }));
        assert!(exported("inline", &attributes("")).unwrap().is_inline());
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (kind, options, named) in [
            ("nfs", "bucket=b", "\"nfs\""),
            ("s3", "region=r", "bucket is missing"),
            ("azblob", "account_name=a", "account_url is missing"),
            ("gha", "scope=a", "url_v2 is missing"),
            ("registry", "mode=max", "ref is missing"),
            ("registry", "ref=example.com/a,mode=some", "\"some\""),
            ("registry", "ref=example.com/a,colour=red", "colour"),
            ("inline", "mounts=true", "mounts"),
            ("local", "mode=max", "dest is missing"),
            ("local", "dest=x,oci-mediatypes=false,image-manifest=true", "oci-mediatypes"),
            ("registry", "ref=example.com/a,compression=estargz", "estargz"),
        ] {
            let failure = exported(kind, &attributes(options)).unwrap_err();
            assert!(failure.message().contains(named), "{kind} {options}: {}", failure.message());
        }
        assert!(entry("local", &attributes("src=x")).unwrap_err().message().contains("digest"));
        assert!(entry("inline", &attributes("")).is_err());
    }

    #[test]
    fn frontends_are_told_in_two_ways() {
        let json = r#"[{"Type":"registry","Attrs":{"ref":"example.com/a"}}]"#;
        let new = of_frontend(&[("cache-imports".to_owned(), json.to_owned())].into()).unwrap();
        let old = of_frontend(&[("cache-from".to_owned(), "example.com/a".to_owned())].into()).unwrap();
        assert_eq!(new[0].name(), old[0].name());
        assert_eq!(new.len() + old.len(), 2);
    }
}
