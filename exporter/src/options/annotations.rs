//! `annotation[-TYPE][[PLATFORM]].KEY=VALUE`: words that go into manifests and indexes.
//!
//! | type | goes to |
//! |---|---|
//! | none, `manifest` | the manifest |
//! | `manifest-descriptor` | the manifest's descriptor, in the index or told to the client |
//! | `index` | the index |
//! | `index-descriptor` | the index's descriptor |

use std::collections::BTreeMap;

use slipway_model::Platform;

use super::invalid;
use crate::error::Result;

type Map = BTreeMap<String, String>;

/// What applies to one image (or to the index).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnotationsFor {
    pub index: Map,
    pub index_descriptor: Map,
    pub manifest: Map,
    pub manifest_descriptor: Map,
}

/// All annotations, by platform; those for all platforms have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(BTreeMap<Option<Platform>, AnnotationsFor>);

impl Annotations {
    /// Takes `option` if it is an annotation; says whether it was.
    pub fn add(&mut self, option: &str, value: &str) -> Result<bool> {
        let Some(rest) = option.strip_prefix("annotation") else { return Ok(false) };
        let Some(end) = rest.find(['[', '.']) else { return Ok(false) };
        let (kind, rest) = rest.split_at(end);
        let (platform, key) = match rest.strip_prefix('[') {
            Some(rest) => match rest.split_once("].") {
                Some((platform, key)) => (Some(platform), key),
                None => return Ok(false),
            },
            None => (None, &rest[1..]),
        };
        if key.is_empty() || key.contains(char::is_whitespace) || !(kind.is_empty() || kind.starts_with('-'))
        {
            return Ok(false);
        }
        let platform = match platform {
            None => None,
            Some(text) => {
                let platform: Platform =
                    text.parse().map_err(|_| invalid(option, value, "unknown platform"))?;
                Some(platform.normalized())
            }
        };
        let annotations = self.0.entry(platform).or_default();
        let map = match kind {
            "" | "-manifest" => &mut annotations.manifest,
            "-manifest-descriptor" => &mut annotations.manifest_descriptor,
            "-index" => &mut annotations.index,
            "-index-descriptor" => &mut annotations.index_descriptor,
            other => {
                let reason = format!("unrecognized annotation type {}", &other[1..]);
                return Err(invalid(option, value, reason));
            }
        };
        map.insert(key.to_owned(), value.to_owned());
        Ok(true)
    }

    /// Those of the index (whatever platform they were written for), and of the image of `platform`.
    pub fn of(&self, platform: Option<&Platform>) -> AnnotationsFor {
        let mut result = AnnotationsFor::default();
        for annotations in self.0.values() {
            result.index.extend(annotations.index.clone());
            result.index_descriptor.extend(annotations.index_descriptor.clone());
        }
        let own = platform.map(|platform| Some(platform.normalized()));
        for annotations in [Some(None), own].into_iter().flatten().filter_map(|key| self.0.get(&key)) {
            result.manifest.extend(annotations.manifest.clone());
            result.manifest_descriptor.extend(annotations.manifest_descriptor.clone());
        }
        result
    }

    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.0.keys().flatten()
    }

    /// Is there any that Docker's media types have no place for?
    pub fn need_oci(&self) -> bool {
        self.0.values().any(|a| {
            !(a.index.is_empty() && a.index_descriptor.is_empty() && a.manifest_descriptor.is_empty())
        })
    }
}
