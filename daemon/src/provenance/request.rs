//! A request as provenance names it: the frontend, its options, and where its Dockerfile came from.

use std::collections::BTreeMap;

use serde::Serialize;
use slipway_worker::source::credentials_of_url;

use super::capture::Sources;
use super::inquiry::Question;
use crate::history::redact;

/// Members in the reference's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Parameters {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub frontend: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Asked>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<Asked>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locals: Vec<LocalSource>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, RequestProvenance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Box<RequestProvenance>>,
    #[serde(rename = "compatibilityVersion", skip_serializing_if = "Option::is_none")]
    pub compatibility_version: Option<i64>,
}

/// A secret or an SSH agent that steps may use, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asked {
    pub id: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LocalSource {
    pub name: String,
}

/// Where the Dockerfile came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ConfigSource {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RequestProvenance {
    #[serde(rename = "configSource")]
    pub config_source: ConfigSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Parameters>,
}

impl RequestProvenance {
    /// What `question` asked. The context and the Dockerfile's name are no options here, but the config source.
    pub(super) fn of(question: &Question, sources: &Sources) -> Self {
        let mut args = told(&question.options);
        let set = |key: &str| args.get(key).filter(|value| !value.is_empty()).cloned();
        let context = match (set("contextkey"), set("input:context")) {
            (Some(key), _) => key,
            (None, Some(_)) => "input:context".to_owned(),
            (None, None) => "context".to_owned(),
        };
        let mut config_source = ConfigSource::default();
        if let Some(address) = args.remove(&context).filter(|address| !address.is_empty()) {
            config_source = sources.config_source(&address);
            config_source.uri = credentials_of_url::hidden(&config_source.uri);
        }
        config_source.path = args.remove("filename").unwrap_or_default();
        let request = Parameters { frontend: question.frontend.clone(), args, ..Parameters::default() };
        Self { config_source, request: Some(request) }
    }

    /// Takes out what only a complete account has; says whether there was any.
    pub(super) fn reduce(&mut self) -> bool {
        self.request.as_mut().is_some_and(Parameters::reduce)
    }
}

impl Parameters {
    /// As [`RequestProvenance::reduce`]. Ids of secrets do not make the request incomplete.
    pub(super) fn reduce(&mut self) -> bool {
        let before = self.args.len();
        self.args.retain(|key, _| !key.starts_with("build-arg:") && !key.starts_with("label:"));
        let mut reduced = before != self.args.len();
        self.secrets.clear();
        self.ssh.clear();
        for input in self.inputs.values_mut() {
            reduced |= input.reduce();
        }
        if let Some(root) = &mut self.root {
            reduced |= root.reduce();
        }
        reduced
    }

    /// Facts of version control that clients send along; they are no options.
    pub(super) fn take_version_control(&mut self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        self.args.retain(|key, value| {
            let Some(name) = key.strip_prefix("vcs:") else { return true };
            if !value.is_empty() {
                facts.insert(name.to_owned(), value.clone());
            }
            false
        });
        facts
    }
}

/// Options that tell of the request rather than of the machine.
fn told(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const OF_THE_HOST: [&str; 5] =
        ["cgroup-parent", "image-resolve-mode", "platform", "cache-imports", "cache-exports"];
    let context = options.get("contextkey").filter(|key| !key.is_empty());
    let context = context.map_or("context", String::as_str);
    let kept = options.iter().filter(|(key, _)| {
        !OF_THE_HOST.contains(&key.as_str())
            && !key.starts_with("attest:")
            && !key.starts_with("build-arg:BUILDKIT_ATTEST_")
    });
    kept.map(|(key, value)| {
        let shown = match key.strip_prefix("build-arg:") {
            Some(name) if redact::is_secret(name) => redact::HIDDEN.to_owned(),
            _ if key == context || key.starts_with("context:") || key.starts_with("vcs:") => {
                credentials_of_url::hidden(value)
            }
            _ => redact::addresses(value),
        };
        (key.clone(), shown)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(options: &[(&str, &str)]) -> Question {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Question { frontend: "dockerfile.v0".into(), options, ..Question::default() }
    }

    #[test]
    fn options_of_the_machine_and_secrets_are_not_told() {
        let asked = question(&[
            ("platform", "linux/arm64"),
            ("attest:provenance", "mode=max"),
            ("build-arg:BUILDKIT_ATTEST_SBOM", ""),
            ("build-arg:API_TOKEN", "abc"),
            ("build-arg:FOO", "bar"),
            ("context", "https://me:pass@host/r.git#main"),
            ("filename", "app.Dockerfile"),
            ("context:x", "https://u:p@host/y"),
        ]);
        let told = RequestProvenance::of(&asked, &Sources::default());
        assert_eq!(told.config_source.uri, "https://xxxxx:xxxxx@host/r.git#main");
        assert_eq!(told.config_source.path, "app.Dockerfile");
        let args: Vec<_> = told.request.unwrap().args.into_iter().collect();
        let expected = [
            ("build-arg:API_TOKEN", "xxxxx"),
            ("build-arg:FOO", "bar"),
            ("context:x", "https://xxxxx:xxxxx@host/y"),
        ];
        assert_eq!(args, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_small_account_has_no_arguments() {
        let told =
            RequestProvenance::of(&question(&[("build-arg:A", "b"), ("target", "x")]), &Sources::default());
        let mut request = told.request.unwrap();
        request.inputs.insert("in".into(), RequestProvenance::of(&question(&[]), &Sources::default()));
        assert!(request.reduce());
        assert_eq!(request.args.keys().collect::<Vec<_>>(), ["target"]);
        assert!(!request.reduce());
    }

    #[test]
    fn version_control_is_apart() {
        let told = RequestProvenance::of(
            &question(&[("vcs:source", "https://u:p@h/r"), ("vcs:revision", "1"), ("vcs:localdir:x", "")]),
            &Sources::default(),
        );
        let mut request = told.request.unwrap();
        let facts = request.take_version_control();
        assert_eq!(facts["revision"], "1");
        assert!(facts["source"].contains("xxxxx") && !facts["source"].contains("u:p"));
        assert!(request.args.is_empty() && facts.len() == 2);
    }
}
