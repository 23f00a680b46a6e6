//! Image manifests and indexes (OCI image-spec; Docker's schema 2 and manifest list are the same shape).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::platform::Matcher;
use crate::{Descriptor, Platform};

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, usually one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The best manifest for `wanted`, as containerd orders them: exact variants before lesser ones.
    /// An entry without a platform matches when nothing else does.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let matcher = Matcher::only(wanted);
        let ranked = self.manifests.iter().filter_map(|m| Some((matcher.rank(m.platform.as_ref()?)?, m)));
        // `min_by_key` keeps the first of equals, as listed.
        ranked
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, manifest)| manifest)
            .or_else(|| self.manifests.iter().find(|m| m.platform.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobDigest, Digest};

    #[test]
    fn windows_runs_its_own_version_alone() {
        let windows =
            |version: &str| Platform { os_version: version.into(), ..Platform::new("windows", "amd64", "") };
        let offered = ["10.0.17763.1", "10.0.20348.1006"].map(|version| {
            let digest = BlobDigest(Digest::of(version.as_bytes()));
            Descriptor { platform: Some(windows(version)), ..Descriptor::new("a manifest", digest, 1) }
        });
        let index = Index {
            schema_version: 2,
            media_type: String::new(),
            manifests: offered.to_vec(),
            annotations: BTreeMap::new(),
        };
        let selected = |version: &str| index.select(&windows(version)).cloned();
        assert_eq!(selected("10.0.20348.7"), Some(offered[1].clone()), "what follows are updates");
        assert_eq!(selected(""), Some(offered[0].clone()));
        assert_eq!(selected("10.0.1"), None);
    }
}
