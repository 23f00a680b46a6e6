//! `--cache-from` and `--cache-to`: what the daemon is told, and folders of the user that it may read or fill.
//!
//! A cache in a folder is an OCI layout. Its index is read and written here: the daemon sees blobs only. A folder
//! that holds no such cache is left out with a word about it, for every cache is empty at first.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::json;
use slipway_model::Descriptor;
use slipway_proto::control::{CacheOptions, CacheOptionsEntry, SolveResponse};
use slipway_session::provider::Layout;

use super::{credentials, layout, outputs};
use crate::arguments::BuildArguments;
use crate::error::Failure;

/// The fact of a response that says which manifest was written.
const MANIFEST: &str = "cache.manifest";

pub struct Caches {
    imports: Vec<CacheOptionsEntry>,
    exports: Vec<CacheOptionsEntry>,
    /// Folders by the name of their store.
    layouts: HashMap<String, Layout>,
    filled: Vec<Filled>,
}

/// A folder that is filled.
struct Filled {
    folder: PathBuf,
    /// Of the cache in it.
    tag: String,
    /// What no cache in it is made of any more goes.
    reset: bool,
}

impl Caches {
    pub fn prepare(arguments: &BuildArguments) -> Result<Self, Failure> {
        let imports = entries("--cache-from", &arguments.cache_from)?;
        Self::of(imports, entries("--cache-to", &arguments.cache_to)?)
    }

    pub fn of(imports: Vec<CacheOptionsEntry>, exports: Vec<CacheOptionsEntry>) -> Result<Self, Failure> {
        let mut caches =
            Self { imports: Vec::new(), exports: Vec::new(), layouts: HashMap::new(), filled: Vec::new() };
        for mut import in imports {
            credentials::add(&mut import);
            if import.r#type != "local" || caches.find(&mut import.attrs)? {
                caches.imports.push(import);
            }
        }
        for mut export in exports {
            credentials::add(&mut export);
            if export.r#type == "local" {
                caches.fill(&export.attrs)?;
            }
            caches.exports.push(export);
        }
        Ok(caches)
    }

    pub fn options(&self) -> CacheOptions {
        CacheOptions {
            imports: self.imports.clone(),
            exports: self.exports.clone(),
            ..CacheOptions::default()
        }
    }

    pub fn layouts(&self) -> HashMap<String, Layout> {
        self.layouts.clone()
    }

    /// For frontends in images, which name the caches themselves.
    pub fn attribute(&self) -> Option<(String, String)> {
        let entry = |cache: &CacheOptionsEntry| json!({ "Type": cache.r#type, "Attrs": cache.attrs });
        let list: Vec<_> = self.imports.iter().map(entry).collect();
        (!list.is_empty()).then(|| ("cache-imports".to_owned(), json!(list).to_string()))
    }

    /// Lists what was written in the indexes of its folders.
    pub fn list_exported(&self, response: &SolveResponse) -> Result<(), Failure> {
        let Some(manifest) = response.exporter_response.get(MANIFEST) else { return Ok(()) };
        let manifest: Descriptor = serde_json::from_str(manifest).map_err(|error| {
            Failure::new(format!("the daemon does not say which cache it wrote: {error}"))
        })?;
        for Filled { folder, tag, reset } in &self.filled {
            layout::list_cache(folder, &manifest, tag)?;
            if *reset {
                layout::remove_unlisted(folder)?;
            }
        }
        Ok(())
    }

    /// Finds the cache in a folder; `false` if there is none.
    fn find(&mut self, options: &mut BTreeMap<String, String>) -> Result<bool, Failure> {
        let source = options.get("src").filter(|source| !source.is_empty()).cloned();
        let source = source.ok_or_else(|| Failure::usage("--cache-from type=local needs src=FOLDER"))?;
        let folder = PathBuf::from(&source);
        if !options.contains_key("digest") {
            let tag = options.get("tag").map_or("latest", String::as_str);
            match layout::tagged(&folder, tag) {
                Ok(digest) => drop(options.insert("digest".into(), digest.to_string())),
                Err(reason) => {
                    eprintln!("WARNING: --cache-from type=local,src={source} is not used: {reason}");
                    return Ok(false);
                }
            }
        }
        // A folder that is filled as well stays writable.
        let read_only = Layout { folder, writable: false };
        self.layouts.entry(store(&source)).or_insert(read_only);
        Ok(true)
    }

    fn fill(&mut self, options: &BTreeMap<String, String>) -> Result<(), Failure> {
        let target = options.get("dest").filter(|target| !target.is_empty());
        let target = target.ok_or_else(|| Failure::usage("--cache-to type=local needs dest=FOLDER"))?;
        let reset = match options.get("reset").map(String::as_str) {
            None | Some("false" | "0" | "f") => false,
            Some("" | "true" | "1" | "t") => true,
            Some(other) => {
                return Err(Failure::usage(format!(
                    "--cache-to type=local,reset={other}: use true or false"
                )));
            }
        };
        let folder = Path::new(target);
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("cannot create {}: {error}", folder.display())))?;
        self.layouts.insert(store(target), Layout { folder: folder.into(), writable: true });
        let tag = options.get("tag").map_or("latest", String::as_str);
        self.filled.push(Filled { folder: folder.into(), tag: tag.to_owned(), reset });
        Ok(())
    }
}

/// What the daemon calls the store of a folder.
fn store(folder: &str) -> String {
    format!("local:{folder}")
}

/// `type=registry,ref=NAME`, or just a reference.
pub fn entries(option: &str, specs: &[String]) -> Result<Vec<CacheOptionsEntry>, Failure> {
    let entry = |spec: &String| {
        if !spec.contains('=') {
            let attrs = [("ref".to_owned(), spec.clone())].into();
            return Ok(CacheOptionsEntry { r#type: "registry".into(), attrs });
        }
        let mut fields = outputs::fields(spec)
            .map_err(|field| Failure::usage(format!("{option} {spec:?}: {field:?} is not KEY=VALUE")))?;
        let kind = fields
            .remove("type")
            .ok_or_else(|| Failure::usage(format!("{option} {spec:?} has no type: write type=registry,…")))?;
        Ok(CacheOptionsEntry { r#type: kind, attrs: fields })
    };
    specs.iter().map(entry).collect()
}
