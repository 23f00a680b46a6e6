//! Networks by plugins: <https://www.cni.dev/docs/spec/>, versions 0.3 to 1.1.
//!
//! | file | holds |
//! |---|---|
//! | `config` | the plugins of a network, in order |
//! | `plugin` | a plugin, run |
//! | `remembered` | what a killed daemon leaves to do for the next |

mod config;
mod plugin;
mod remembered;

use std::path::PathBuf;

use self::config::PluginList;
use self::plugin::{Call, Command};
use self::remembered::{Remembered, Remembrance};
use super::namespace::Namespace;
use super::{Attachment, CniOptions, Provider, failed};
use crate::Result;

#[derive(Debug)]
pub(super) struct Cni {
    list: PluginList,
    binaries: PathBuf,
    remembered: Remembered,
}

impl Cni {
    pub(super) fn open(options: CniOptions) -> Result<Self> {
        let list = PluginList::read(&options.config).map_err(|reason| {
            failed(format!("use the CNI configuration {}", options.config.display()), reason)
        })?;
        list.check(&options.binaries).map_err(|reason| {
            failed(format!("use the CNI configuration {}", options.config.display()), reason)
        })?;
        remove_leftovers(options.state.clone());
        let remembered = Remembered::new(options.state);
        Ok(Self { list, binaries: options.binaries, remembered })
    }
}

/// Begins to.
pub(super) fn remove_leftovers(state: PathBuf) {
    Remembered::new(state).settle();
}

impl Provider for Cni {
    fn attach(&self, hostname: &str) -> Result<Attachment> {
        let failing = |reason: String| failed("make a network for the step", reason);
        let namespace = Namespace::make().map_err(|error| failing(error.to_string()))?;
        let path = namespace.path().map_err(|error| failing(error.to_string()))?;
        let call = Call {
            container: new_name().map_err(failing)?,
            namespace: Some(path),
            hostname: hostname.to_owned(),
            binaries: self.binaries.clone(),
        };
        let mut remembrance = Remembrance { call, list: self.list.clone(), result: None };
        self.remembered.keep(&remembrance).map_err(|error| failing(error.to_string()))?;
        let added = self.list.add(&remembrance.call).and_then(|result| {
            remembrance.result = Some(result);
            self.remembered.keep(&remembrance).map_err(|error| error.to_string())
        });
        if let Err(reason) = added {
            self.remembered.settle_one(&remembrance);
            return Err(failing(reason));
        }
        let name = remembrance.call.container;
        Ok(Attachment { namespace, name, hostname: hostname.to_owned() })
    }

    fn detach(&self, attachment: &Attachment) {
        if let Ok(mut remembrance) = self.remembered.of(&attachment.name) {
            remembrance.call.namespace = attachment.namespace.path().ok();
            self.remembered.settle_one(&remembrance);
        }
    }

    fn close(&self) {}
}

impl PluginList {
    /// All plugins, each with what the one before has answered; the last one's answer.
    fn add(&self, call: &Call) -> Result<serde_json::Value, String> {
        let mut previous = None;
        for plugin in &self.plugins {
            let answer = plugin::run(self, plugin, call, Command::Add, previous.as_ref())?;
            previous = Some(answer.ok_or_else(|| format!("the plugin {} says nothing", plugin.kind()))?);
        }
        previous.ok_or_else(|| "there are no plugins".into())
    }

    /// The other way round; one that fails keeps none from its turn.
    fn remove(&self, call: &Call, result: Option<&serde_json::Value>) -> Result<(), String> {
        let plugins = self.plugins.iter().rev();
        let failures =
            plugins.filter_map(|plugin| plugin::run(self, plugin, call, Command::Del, result).err());
        failures.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
    }
}

fn new_name() -> Result<String, String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
