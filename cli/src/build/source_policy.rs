//! `--source-policy-file`: rules about sources, in the JSON form of BuildKit's clients.
//!
//! ```json
//! {"rules": [{
//!   "action": "CONVERT",
//!   "selector": {"identifier": "docker-image://docker.io/library/alpine:*", "matchType": "WILDCARD"},
//!   "updates": {"identifier": "docker-image://mirror.example/alpine:$1"}
//! }]}
//! ```
//!
//! A key that is not known is an error: a rule that does not do what it seems to is worse than none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use slipway_proto::policy::{self, AttrMatch, MatchType, PolicyAction};

use crate::error::Failure;

const LARGEST: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    #[serde(default)]
    version: i64,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    action: Option<Choice>,
    #[serde(default)]
    selector: Option<Selector>,
    #[serde(default)]
    updates: Option<Updates>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    #[serde(default)]
    identifier: String,
    #[serde(default, alias = "matchType", alias = "match")]
    match_type: Option<Choice>,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    condition: Option<Choice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// A name, or its number; the first if there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Name(String),
    Number(i32),
}

pub fn read(path: &Path) -> Result<policy::Policy, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("--source-policy-file {}: {error}", path.display()))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(failed(&format!("larger than {LARGEST} bytes")));
    }
    parse(&text).map_err(|error| failed(&error))
}

fn parse(text: &str) -> Result<policy::Policy, String> {
    // A list would do for the fields in their order.
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let policy: Policy = serde_json::from_value(value.into()).map_err(|error| error.to_string())?;
    let rules = policy
        .rules
        .into_iter()
        .enumerate()
        .map(|(index, rule)| wire(rule).map_err(|error| format!("rule {}: {error}", index + 1)));
    Ok(policy::Policy { version: policy.version, rules: rules.collect::<Result<_, _>>()? })
}

fn wire(rule: Rule) -> Result<policy::Rule, String> {
    let selector = match rule.selector {
        None => return Err("it has no selector, which says what sources it is about".into()),
        Some(selector) => policy::Selector {
            identifier: selector.identifier,
            match_type: choice(selector.match_type, "match type", MatchType::from_str_name)?,
            constraints: selector.constraints.into_iter().map(constraint).collect::<Result<_, _>>()?,
        },
    };
    let updates =
        rule.updates.map(|updates| policy::Update { identifier: updates.identifier, attrs: updates.attrs });
    Ok(policy::Rule {
        action: choice(rule.action, "action", PolicyAction::from_str_name)?,
        selector: Some(selector),
        updates,
    })
}

fn constraint(constraint: Constraint) -> Result<policy::AttrConstraint, String> {
    Ok(policy::AttrConstraint {
        key: constraint.key,
        value: constraint.value,
        condition: choice(constraint.condition, "condition", AttrMatch::from_str_name)?,
    })
}

fn choice<T>(given: Option<Choice>, what: &str, named: fn(&str) -> Option<T>) -> Result<i32, String>
where
    i32: From<T>,
{
    match given {
        None => Ok(0),
        Some(Choice::Number(number)) => Ok(number),
        Some(Choice::Name(name)) => {
            named(&name).map(i32::from).ok_or_else(|| format!("{name:?} is no {what}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_written() {
        let text = r#"{"version": 1, "rules": [
            {"action": "CONVERT",
             "selector": {"identifier": "https://*", "matchType": "REGEX",
                          "constraints": [{"key": "k", "value": "v", "condition": "NOTEQUAL"}]},
             "updates": {"identifier": "https://$1", "attrs": {"http.checksum": "sha256:x"}}},
            {"selector": {"identifier": "x", "match_type": 1}}
        ]}"#;
        let policy = parse(text).unwrap();
        let [first, second] = &policy.rules[..] else { panic!("{policy:?}") };
        assert_eq!(first.action, PolicyAction::Convert as i32);
        let selector = first.selector.as_ref().unwrap();
        assert_eq!(selector.match_type, MatchType::Regex as i32);
        assert_eq!(selector.constraints[0].condition, AttrMatch::Notequal as i32);
        assert_eq!(first.updates.as_ref().unwrap().attrs["http.checksum"], "sha256:x");
        assert_eq!(second.action, PolicyAction::Allow as i32);
        assert_eq!(second.selector.as_ref().unwrap().match_type, MatchType::Exact as i32);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (text, part) in [
            ("[]", "invalid type"),
            (r#"{"rulez": []}"#, "rulez"),
            (r#"{"rules": [null]}"#, "null"),
            (r#"{"rules": [{"action": "DENY"}]}"#, "no selector"),
            (r#"{"rules": [{"action": "FORBID", "selector": {}}]}"#, "\"FORBID\" is no action"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
