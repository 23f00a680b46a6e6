//! Which sources a rule is about: a name or pattern, and conditions on attributes.

use std::collections::BTreeMap;

use regex_lite::Regex;
use slipway_model::llb::pb;
use slipway_proto::policy::{AttrConstraint, AttrMatch, MatchType, Selector as Wire};

use super::PolicyError;

#[derive(Debug)]
pub(super) struct Selector {
    pub(super) identifier: String,
    matching: Matching,
    constraints: Vec<Constraint>,
}

#[derive(Debug)]
enum Matching {
    Exact,
    /// `*` is any text, and a group.
    Wildcard(Regex),
    /// Somewhere in the name.
    Regex(Regex),
}

#[derive(Debug)]
struct Constraint {
    attribute: String,
    condition: Condition,
}

#[derive(Debug)]
enum Condition {
    Is(String),
    IsNot(String),
    Matches(Regex),
}

impl Selector {
    pub(super) fn compile(wire: Wire) -> Result<Self, PolicyError> {
        let matching = match MatchType::try_from(wire.match_type) {
            Ok(MatchType::Exact) => Matching::Exact,
            Ok(MatchType::Wildcard) => Matching::Wildcard(wildcard(&wire.identifier)?),
            Ok(MatchType::Regex) => Matching::Regex(regex(&wire.identifier)?),
            Err(_) => {
                let kind = wire.match_type;
                return Err(PolicyError::UnknownMatch { selector: wire.identifier, kind });
            }
        };
        let constraints = wire.constraints.into_iter().map(|constraint| {
            let AttrConstraint { key, value, condition } = constraint;
            let condition = match AttrMatch::try_from(condition) {
                Ok(AttrMatch::Equal) => Condition::Is(value),
                Ok(AttrMatch::Notequal) => Condition::IsNot(value),
                Ok(AttrMatch::Matches) => Condition::Matches(regex(&value)?),
                Err(_) => {
                    return Err(PolicyError::UnknownCondition {
                        selector: wire.identifier.clone(),
                        condition,
                    });
                }
            };
            Ok(Constraint { attribute: key, condition })
        });
        let constraints = constraints.collect::<Result<_, _>>()?;
        Ok(Self { identifier: wire.identifier, matching, constraints })
    }

    pub(super) fn matches(&self, source: &pb::SourceOp) -> bool {
        self.constraints.iter().all(|constraint| constraint.holds(&source.attrs))
            && (self.identifier == source.identifier
                || match &self.matching {
                    Matching::Exact => false,
                    Matching::Wildcard(pattern) | Matching::Regex(pattern) => {
                        pattern.is_match(&source.identifier)
                    }
                })
    }

    /// `template` with `$1`, `${1}` and the like filled in with what matched in `name`.
    pub(super) fn fill(&self, template: &str, name: &str) -> String {
        match &self.matching {
            Matching::Exact => template.to_owned(),
            Matching::Regex(pattern) => pattern.replace_all(name, template).into_owned(),
            Matching::Wildcard(pattern) => match pattern.captures(name) {
                Some(captures) => {
                    let mut filled = String::new();
                    captures.expand(template, &mut filled);
                    filled
                }
                // A name that holds `*` itself, and no more.
                None => template.to_owned(),
            },
        }
    }
}

impl Constraint {
    /// An attribute that is not there is an empty text.
    fn holds(&self, attributes: &BTreeMap<String, String>) -> bool {
        let value = attributes.get(&self.attribute).map_or("", String::as_str);
        match &self.condition {
            Condition::Is(wanted) => value == wanted,
            Condition::IsNot(unwanted) => value != unwanted,
            Condition::Matches(pattern) => pattern.is_match(value),
        }
    }
}

fn wildcard(text: &str) -> Result<Regex, PolicyError> {
    if text.contains("**") {
        return Err(PolicyError::Wildcard(text.to_owned()));
    }
    let parts: Vec<_> = text.split('*').map(regex_lite::escape).collect();
    regex(&format!("^{}$", parts.join("(.*)")))
}

fn regex(text: &str) -> Result<Regex, PolicyError> {
    Regex::new(text)
        .map_err(|error| PolicyError::Pattern { text: text.to_owned(), reason: error.to_string() })
}
