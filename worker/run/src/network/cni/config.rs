//! A network's configuration: a list of plugins (`.conflist`), or one plugin by itself.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The plugins of a network, as they are to be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginList {
    pub(super) cni_version: String,
    pub(super) name: String,
    pub(super) plugins: Vec<Plugin>,
}

/// What the file says for one plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plugin(pub(super) Map<String, Value>);

/// A larger file is no configuration.
const LARGEST: u64 = 1 << 20;
/// Of files that do not say.
const OLDEST: &str = "0.1.0";

impl PluginList {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        file.take(LARGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(object) = value else { return Err("it is no JSON object".into()) };
        let text_of = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mut cni_version, name) = (text_of("cniVersion"), text_of("name"));
        if cni_version.is_empty() {
            cni_version = OLDEST.into();
        }
        if name.is_empty() {
            return Err("the network has no name".into());
        }
        let plugins = match object.get("plugins") {
            Some(Value::Array(plugins)) => {
                plugins.iter().cloned().map(Plugin::of).collect::<Result<_, _>>()?
            }
            Some(_) => return Err("plugins is no list".into()),
            None => vec![Plugin::of(Value::Object(object))?],
        };
        Ok(Self { cni_version, name, plugins })
    }

    /// Whether all plugins are there.
    pub(super) fn check(&self, binaries: &Path) -> Result<(), String> {
        if self.plugins.is_empty() {
            return Err("there are no plugins".into());
        }
        let is_missing = |plugin: &&Plugin| !binaries.join(plugin.kind()).is_file();
        match self.plugins.iter().find(is_missing) {
            Some(plugin) => Err(format!("there is no plugin {} in {}", plugin.kind(), binaries.display())),
            None => Ok(()),
        }
    }
}

impl Plugin {
    fn of(value: Value) -> Result<Self, String> {
        let Value::Object(object) = value else { return Err("a plugin is no JSON object".into()) };
        match object.get("type").and_then(Value::as_str) {
            None | Some("") => Err("a plugin has no type".into()),
            Some(kind) if kind.contains('/') => Err(format!("the plugin type {kind:?} is a path")),
            Some(_) => Ok(Self(object)),
        }
    }

    /// The name of its program.
    pub(super) fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_single_plugin() {
        let list =
            r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}, {"type": "firewall"}]}"#;
        let kinds = |text: &str| {
            let list = PluginList::parse(text).unwrap();
            list.plugins.iter().map(|plugin| plugin.kind().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(list), ["bridge", "firewall"]);
        assert_eq!(kinds(r#"{"name": "n", "type": "ptp"}"#), ["ptp"]);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (text, what) in [
            ("[]", "no JSON object"),
            ("{", "EOF"),
            (r#"{"type": "ptp"}"#, "no name"),
            (r#"{"name": "n"}"#, "no type"),
            (r#"{"name": "n", "type": "../sh"}"#, "is a path"),
            (r#"{"name": "n", "plugins": 1}"#, "no list"),
            (r#"{"name": "n", "plugins": [1]}"#, "no JSON object"),
        ] {
            let error = PluginList::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        let none = PluginList::parse(r#"{"name": "n", "plugins": []}"#).unwrap();
        assert!(none.check(Path::new("/")).is_err());
    }
}
