//! What a stage is after each instruction: a filesystem, and how a command in it would be started.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use slipway_model::Platform;
use slipway_model::lexical::clean_text;
use slipway_model::llb::{NodeOutput, WireVariables};

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
///
/// Files with very many variables are read, too: a place that was left stays empty until half are,
/// so that each change costs the same, however many there are. Copies share their texts. Every command
/// lists all of them, so they are kept as operations write them, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    places: Vec<Option<(Arc<str>, Arc<str>)>>,
    by_name: HashMap<Arc<str>, usize>,
    /// `None` after a variable has left its place.
    wire: Option<Arc<WireVariables>>,
}

impl Environment {
    pub(super) fn set(&mut self, key: &str, value: impl AsRef<str>) {
        self.remove(key);
        if self.places.is_empty() {
            self.wire = Some(Arc::default());
        }
        if let Some(wire) = &mut self.wire {
            Arc::make_mut(wire).push(key, value.as_ref());
        }
        let key: Arc<str> = key.into();
        self.by_name.insert(key.clone(), self.places.len());
        self.places.push(Some((key, value.as_ref().into())));
    }

    pub(super) fn remove(&mut self, key: &str) {
        let Some(place) = self.by_name.remove(key) else { return };
        self.wire = None;
        self.places[place] = None;
        if self.places.len() > 2 * self.by_name.len() + 16 {
            self.places.retain(Option::is_some);
            let names = self.places.iter().flatten().enumerate();
            self.by_name = names.map(|(place, (key, _))| (key.clone(), place)).collect();
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let place = *self.by_name.get(key)?;
        self.places[place].as_ref().map(|(_, value)| &**value)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.places.iter().flatten().map(|(key, _)| &**key)
    }

    /// All, as operations hold them.
    pub(super) fn wire(&mut self) -> Arc<WireVariables> {
        let places = &self.places;
        let wire = self.wire.get_or_insert_with(|| {
            let mut wire = WireVariables::default();
            for (key, value) in places.iter().flatten() {
                wire.push(key, value);
            }
            Arc::new(wire)
        });
        wire.clone()
    }

    /// `KEY=value`.
    pub(super) fn list(&self) -> Vec<String> {
        self.places.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_again_moves_to_the_end() {
        let mut environment = Environment::default();
        for round in 0..100 {
            for key in ["A", "B", "C"] {
                environment.set(key, round.to_string());
            }
        }
        environment.remove("B");
        environment.set("A", "x");
        assert_eq!(environment.list(), ["C=99", "A=x"]);
        let mut wire = WireVariables::default();
        wire.push("C", "99");
        wire.push("A", "x");
        assert_eq!(*environment.wire(), wire);
        environment.set("D", "y");
        wire.push("D", "y");
        assert_eq!(*environment.wire(), wire);
        environment.remove("D");
        assert_eq!((environment.value("A"), environment.value("B")), (Some("x"), None));
        assert!(environment.places.len() < 30);
    }
}
