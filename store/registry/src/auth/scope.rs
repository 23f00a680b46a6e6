//! Scopes: what a token is good for (`repository:NAME:pull,push`; the distribution project's
//! "Token Scope Documentation"). Kept sorted, so that equal sets are equal keys.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    pub(crate) fn pull(repository: &str) -> Self {
        Self::default().and(repository, &["pull"])
    }

    pub(crate) fn push(repository: &str) -> Self {
        Self::default().and(repository, &["pull", "push"])
    }

    /// These and reading `repository`, for a mount.
    pub(crate) fn and_pull(self, repository: &str) -> Self {
        self.and(repository, &["pull"])
    }

    fn and(mut self, repository: &str, actions: &[&str]) -> Self {
        let held = self.0.entry(format!("repository:{repository}")).or_default();
        held.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    pub(crate) fn with(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            self.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        self
    }

    /// Scopes separated by spaces, as in a challenge. The name of a resource may hold colons (a port).
    pub(crate) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_ascii_whitespace() {
            let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            let held = scopes.0.entry(resource.to_owned()).or_default();
            held.extend(actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned));
        }
        scopes
    }

    pub(crate) fn to_strings(&self) -> Vec<String> {
        let join =
            |actions: &BTreeSet<String>| actions.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        self.0.iter().map(|(resource, actions)| format!("{resource}:{}", join(actions))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_equal_however_written() {
        let written = Scopes::parse("repository:b:pull repository:a:push,pull registry:catalog:*");
        let made = Scopes::push("a").and_pull("b").with(&Scopes::parse("registry:catalog:*"));
        assert_eq!(written, made);
        assert_eq!(made.to_strings(), ["registry:catalog:*", "repository:a:pull,push", "repository:b:pull"]);
        assert_eq!(
            Scopes::parse("repository:host:5000/x:pull").to_strings(),
            ["repository:host:5000/x:pull"]
        );
    }
}
