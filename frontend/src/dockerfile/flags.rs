//! The `--name[=value]` words before an instruction's arguments.

use super::{Fault, suggest};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true`, `=false`.
    Bool,
    /// A value, once.
    Text,
    /// A value, any number of times.
    Texts,
}

/// The flags of one instruction, each known to it; in order, so that a boolean's value is `true` or `false`.
pub(super) struct Flags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Flags<'a> {
    pub(super) fn parse(words: &'a [String], known: &[(&str, Kind)]) -> Result<Self, Fault> {
        let mut flags = Self(Vec::new());
        for word in words {
            let Some(flag) = word.strip_prefix("--") else {
                return Err(Fault::FlagWithoutDashes(word.clone()));
            };
            if flag.is_empty() {
                break;
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(suggest::with_suggestion(
                    Fault::UnknownFlag(name.to_owned()),
                    name,
                    &names,
                    true,
                ));
            };
            if *kind != Kind::Texts && flags.given(name).is_some() {
                return Err(Fault::DuplicateFlag(name.to_owned()));
            }
            flags.0.push((name, checked(name, *kind, value)?));
        }
        Ok(flags)
    }

    /// For instructions without flags.
    pub(super) fn none(words: &'a [String]) -> Result<(), Fault> {
        Self::parse(words, &[]).map(|_| ())
    }

    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// Empty if it is not given.
    pub(super) fn text(&self, name: &str) -> String {
        self.given(name).unwrap_or_default().to_owned()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()).collect()
    }

    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        self.given(name).map(|value| value == "true")
    }

    /// Each name once, in order of first use.
    pub(super) fn used(&self) -> Vec<String> {
        let mut used: Vec<String> = Vec::new();
        for (name, _) in &self.0 {
            if !used.iter().any(|seen| seen == name) {
                used.push((*name).to_owned());
            }
        }
        used
    }
}

fn checked<'a>(name: &str, kind: Kind, value: Option<&'a str>) -> Result<&'a str, Fault> {
    let missing = || Fault::FlagWithoutValue(name.to_owned());
    match (kind, value) {
        (Kind::Text | Kind::Texts, value) => value.ok_or_else(missing),
        (Kind::Bool, None) => Ok("true"),
        (Kind::Bool, Some("")) => Err(missing()),
        (Kind::Bool, Some(value)) => match value.to_lowercase().as_str() {
            "true" => Ok("true"),
            "false" => Ok("false"),
            _ => Err(Fault::FlagNotBoolean { flag: name.to_owned(), value: value.to_owned() }),
        },
    }
}
