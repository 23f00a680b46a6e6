//! What a stage is after each instruction: a filesystem, and how a command in it would be started.

use std::borrow::Cow;

use slipway_model::Platform;
use slipway_model::lexical::clean_text;
use slipway_model::llb::NodeOutput;

use crate::dockerfile::shell::Variables;

#[derive(Clone, Debug)]
pub(super) struct State {
    /// `None` is scratch.
    pub(super) output: Option<NodeOutput>,
    /// Normalized. `None` until something says it; then the build's target.
    pub(super) platform: Option<Platform>,
    pub(super) environment: Environment,
    pub(super) folder: String,
    pub(super) user: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            output: None,
            platform: None,
            environment: Environment::default(),
            folder: "/".to_owned(),
            user: String::new(),
        }
    }
}

impl State {
    pub(super) fn new(output: Option<NodeOutput>, platform: Option<&Platform>) -> Self {
        Self { output, platform: platform.map(Platform::normalized), ..Self::default() }
    }

    /// A relative path continues the last.
    pub(super) fn set_folder(&mut self, path: &str) {
        self.folder = if path.starts_with('/') {
            path.to_owned()
        } else {
            clean_text(&format!("{}/{path}", if self.folder.is_empty() { "/" } else { &self.folder }))
        };
    }
}

/// Variables in order: one that is set again moves to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.remove(key);
        self.0.push((key.to_owned(), value.into()));
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// `KEY=value`.
    pub(super) fn list(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(Cow::Borrowed)
    }

    fn names(&self) -> Vec<String> {
        self.keys().map(str::to_owned).collect()
    }
}
