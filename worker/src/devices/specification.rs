//! One file, JSON or YAML, in the words of the specification.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Specification {
    #[serde(rename = "cdiVersion")]
    pub(super) _version: String,
    /// `vendor.com/class`.
    pub(super) kind: String,
    #[serde(default, deserialize_with = "texts")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    /// For whoever gets any of the devices.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default, deserialize_with = "texts")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<Node>,
    pub(super) mounts: Vec<Mount>,
    pub(super) hooks: Vec<Hook>,
    #[serde(rename = "additionalGids")]
    pub(super) additional_groups: Vec<u32>,
    /// Not supported.
    pub(super) net_devices: Vec<serde_json::Value>,
    /// Not supported.
    pub(super) intel_rdt: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) path: String,
    #[serde(default)]
    pub(super) host_path: String,
    /// `b`, `c`, `u` (as `c`) or `p`; "" is what the host's node is.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) major: i64,
    #[serde(default)]
    pub(super) minor: i64,
    #[serde(default)]
    pub(super) file_mode: Option<u32>,
    #[serde(default)]
    pub(super) permissions: String,
    #[serde(default)]
    pub(super) uid: Option<u32>,
    #[serde(default)]
    pub(super) gid: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    #[serde(default)]
    pub(super) timeout: Option<u32>,
}

impl Specification {
    /// JSON is YAML.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parsed: Self = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        let named = parsed.kind.split_once('/');
        if !named.is_some_and(|(vendor, class)| is_name(vendor) && is_name(class)) {
            return Err(format!("the kind {:?} is not VENDOR/CLASS", parsed.kind));
        }
        match parsed.devices.iter().find(|device| !is_name(&device.name)) {
            Some(device) => Err(format!("{:?} is no name of a device", device.name)),
            None => Ok(parsed),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(is_letter)
}

/// Values that people write as numbers or truths are texts.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json() {
        let yaml = "cdiVersion: \"0.6.0\"\nkind: acme.com/gpu\nannotations:\n  x: true\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/gpu0\n      fileMode: 0o660\n";
        let json = r#"{"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "annotations": {"x": "true"},
            "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "fileMode": 432}]}}]}"#;
        for text in [yaml, json] {
            let parsed = Specification::parse(text).unwrap();
            assert_eq!(parsed.annotations["x"], "true");
            assert_eq!(parsed.devices[0].container_edits.device_nodes[0].file_mode, Some(0o660));
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, what) in [
            ("cdiVersion: '0.6.0'\nkind: gpu", "VENDOR/CLASS"),
            ("cdiVersion: '0.6.0'\nkind: a.b/c\ndevices: [{name: 'x=y'}]", "no name of a device"),
            ("cdiVersion: '0.6.0'\nkind: a.b/c\nsurprise: 1", "surprise"),
            ("kind: a.b/c", "cdiVersion"),
            ("{", ""),
        ] {
            let error = Specification::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
