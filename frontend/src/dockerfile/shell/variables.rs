//! Where the lexer asks for values.

use std::borrow::Cow;
use std::collections::HashMap;

/// The variables in scope.
pub trait Variables {
    /// `None` if it is not set, which differs from empty.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;

    /// All names that are set, for suggestions; may be empty if they are not known.
    fn names(&self) -> Vec<String>;
}

/// An empty environment.
#[derive(Clone, Copy, Debug)]
pub struct NoVariables;

/// An environment of `KEY=value` texts, as image configs hold it; the last of a key counts.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentList(HashMap<String, String>);

impl EnvironmentList {
    /// Adds a variable, or gives it another value.
    pub fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<S: AsRef<str>> FromIterator<S> for EnvironmentList {
    /// A text without `=` sets its name to nothing.
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let pair = |text: S| {
            let (key, value) = text.as_ref().split_once('=').unwrap_or((text.as_ref(), ""));
            (key.to_owned(), value.to_owned())
        };
        Self(texts.into_iter().map(pair).collect())
    }
}

impl Variables for EnvironmentList {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}
