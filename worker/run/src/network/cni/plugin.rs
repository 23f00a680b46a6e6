//! A plugin, run: what it is to do in its environment, what with on its standard input, its answer on its standard
//! output, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{Plugin, PluginList};
use crate::host_program;

/// What is the same for all plugins of a namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) container: String,
    /// None is one that has gone already; the path of another daemon's means nothing.
    #[serde(skip)]
    pub(super) namespace: Option<PathBuf>,
    /// What the network is to know the container as; may be "".
    pub(super) hostname: String,
    pub(super) binaries: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Del,
}

/// What the container knows the network's link as.
const LINK: &str = "eth0";

/// The answer; a removal has none.
pub(super) fn run(
    list: &PluginList,
    plugin: &Plugin,
    call: &Call,
    command: Command,
    previous: Option<&Value>,
) -> Result<Option<Value>, String> {
    let mut input = plugin.0.clone();
    input.insert("name".into(), json!(list.name));
    input.insert("cniVersion".into(), json!(list.cni_version));
    if let Some(previous) = previous {
        input.insert("prevResult".into(), previous.clone());
    }
    let input = serde_json::to_vec(&input).map_err(|error| error.to_string())?;
    let mut program = std::process::Command::new(call.binaries.join(plugin.kind()));
    program
        .env("CNI_COMMAND", if command == Command::Add { "ADD" } else { "DEL" })
        .env("CNI_CONTAINERID", &call.container)
        .env("CNI_NETNS", call.namespace.clone().unwrap_or_default())
        .env("CNI_IFNAME", LINK)
        .env("CNI_ARGS", arguments(&call.hostname))
        .env("CNI_PATH", &call.binaries);
    let failed = |what: &str| format!("the CNI plugin {} failed: {what}", plugin.kind());
    let said = host_program::run(&mut program, &input).map_err(|error| failed(&error.to_string()))?;
    let answer = serde_json::from_str::<Value>(&said.stdout).ok();
    match (said.succeeded(), answer) {
        (true, answer) => Ok(answer),
        (false, answer) => Err(failed(&reason(answer.as_ref(), &said.stderr))),
    }
}

/// Plugins that give names to containers look for one there. What is no name could be further arguments.
fn arguments(hostname: &str) -> String {
    let is_name = hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if hostname.is_empty() || !is_name {
        return String::new();
    }
    format!("IgnoreUnknown=1;K8S_POD_NAME={hostname}")
}

fn reason(answer: Option<&Value>, stderr: &str) -> String {
    let text =
        |key: &str| answer.and_then(|answer| answer.get(key)).and_then(Value::as_str).unwrap_or_default();
    let parts: Vec<&str> =
        [text("msg"), text("details"), stderr.trim()].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "it says not why".into() } else { parts.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_brings_no_further_arguments() {
        assert_eq!(arguments("db-1.x"), "IgnoreUnknown=1;K8S_POD_NAME=db-1.x");
        assert_eq!(arguments("db;IP=10.0.0.1"), "");
        assert_eq!(arguments(""), "");
    }

    #[test]
    fn an_error_is_what_the_plugin_says() {
        let answer = json!({"code": 7, "msg": "no address", "details": "the range is full"});
        assert_eq!(reason(Some(&answer), ""), "no address: the range is full");
        assert_eq!(reason(None, "killed\n"), "killed");
        assert_eq!(reason(None, ""), "it says not why");
    }
}
