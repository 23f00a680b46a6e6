//! Static policies: rules that came with a request, checked and compiled before anything is compared with them.

use slipway_model::llb::pb;
use slipway_proto::policy::{Policy, PolicyAction, Rule as WireRule, Update};

use super::PolicyError;
use super::selector::Selector;

/// How often rules may change one source.
pub const MOST_CHANGES: usize = 20;

/// Policies in the order in which they are asked; none allows everything.
#[derive(Debug, Default)]
pub struct Rules(Vec<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    selector: Selector,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Allow,
    Deny,
    Convert(Update),
}

/// What one pass over the rules comes to.
enum Passed {
    Changed,
    Unchanged,
}

impl Rules {
    pub fn compile(policies: impl IntoIterator<Item = Policy>) -> Result<Self, PolicyError> {
        let compile = |policy: Policy| policy.rules.into_iter().enumerate().map(compile).collect();
        Ok(Self(policies.into_iter().map(compile).collect::<Result<_, _>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// Changes `source` as the rules say, those of `self` before those of `more`.
    pub fn apply(&self, more: &Self, source: &mut pb::SourceOp) -> Result<(), PolicyError> {
        for _ in 0..=MOST_CHANGES {
            if let Passed::Unchanged = self.pass(more, source)? {
                return Ok(());
            }
        }
        Err(PolicyError::TooManyChanges(source.identifier.clone()))
    }

    /// Until the first change.
    fn pass(&self, more: &Self, source: &mut pb::SourceOp) -> Result<Passed, PolicyError> {
        for policy in self.0.iter().chain(&more.0) {
            let mut denied = false;
            for Rule { selector, action } in policy {
                match action {
                    _ if !selector.matches(source) => {}
                    Action::Allow => denied = false,
                    Action::Deny => denied = true,
                    Action::Convert(update) if convert(source, selector, update) => {
                        return Ok(Passed::Changed);
                    }
                    Action::Convert(_) => {}
                }
            }
            if denied {
                return Err(PolicyError::Denied(source.identifier.clone()));
            }
        }
        Ok(Passed::Unchanged)
    }
}

fn compile((index, rule): (usize, WireRule)) -> Result<Rule, PolicyError> {
    let selector = Selector::compile(rule.selector.ok_or(PolicyError::NoSelector(index))?)?;
    let action = match (PolicyAction::try_from(rule.action), rule.updates) {
        (Ok(PolicyAction::Allow), _) => Action::Allow,
        (Ok(PolicyAction::Deny), _) => Action::Deny,
        (Ok(PolicyAction::Convert), Some(update)) => Action::Convert(update),
        (Ok(PolicyAction::Convert), None) => {
            return Err(PolicyError::NoDestination(selector.identifier));
        }
        (Err(_), _) => {
            let (selector, action) = (selector.identifier, rule.action);
            return Err(PolicyError::UnknownAction { selector, action });
        }
    };
    Ok(Rule { selector, action })
}

/// Whether that changed anything. An update without a name leaves the name.
fn convert(source: &mut pb::SourceOp, selector: &Selector, update: &Update) -> bool {
    let before = source.clone();
    if !update.identifier.is_empty() {
        source.identifier = selector.fill(&update.identifier, &source.identifier);
    }
    if source.identifier != before.identifier {
        super::name::forget_place(source);
    }
    source.attrs.extend(update.attrs.clone());
    *source != before
}

#[cfg(test)]
mod tests {
    use slipway_proto::policy::{AttrConstraint, AttrMatch, MatchType, Selector};

    use super::*;

    const EXACT: MatchType = MatchType::Exact;
    const WILDCARD: MatchType = MatchType::Wildcard;
    const REGEX: MatchType = MatchType::Regex;

    fn rule(action: PolicyAction, kind: MatchType, identifier: &str, to: Option<&str>) -> WireRule {
        WireRule {
            action: action.into(),
            selector: Some(Selector {
                identifier: identifier.into(),
                match_type: kind.into(),
                constraints: Vec::new(),
            }),
            updates: to.map(|to| Update { identifier: to.into(), ..Update::default() }),
        }
    }

    fn allow(identifier: &str) -> WireRule {
        rule(PolicyAction::Allow, WILDCARD, identifier, None)
    }

    fn deny(identifier: &str) -> WireRule {
        rule(PolicyAction::Deny, WILDCARD, identifier, None)
    }

    fn policy(rules: &[WireRule]) -> Policy {
        Policy { version: 1, rules: rules.to_vec() }
    }

    fn apply(rules: &[WireRule], name: &str) -> Result<String, String> {
        let rules = Rules::compile([policy(rules)]).map_err(|error| error.to_string())?;
        let mut source = pb::SourceOp { identifier: name.into(), ..Default::default() };
        rules.apply(&Rules::default(), &mut source).map_err(|error| error.to_string())?;
        Ok(source.identifier)
    }

    #[test]
    fn the_last_that_matches_counts() {
        for (rules, allowed) in [
            (vec![], true),
            (vec![deny("x://a")], false),
            (vec![deny("x://b")], true),
            (vec![deny("*"), allow("x://a")], true),
            (vec![allow("x://a"), deny("*")], false),
            (vec![deny("*"), allow("x://*"), deny("x://b")], true),
        ] {
            assert_eq!(apply(&rules, "x://a").is_ok(), allowed, "{rules:?}");
        }
        let told = apply(&[deny("x://*")], "x://a").unwrap_err();
        assert_eq!(told, "source \"x://a\" denied by policy: source denied by policy");
    }

    #[test]
    fn names_are_converted_by_what_matched() {
        let convert = |kind, from: &str, to: &str| rule(PolicyAction::Convert, kind, from, Some(to));
        let name = "docker-image://docker.io/library/golang:1.19";
        for (rule, expected) in [
            (convert(EXACT, name, "x://$1"), "x://$1"),
            (convert(EXACT, "docker-image://docker.io/library/golang", "x://no"), name),
            (
                convert(
                    WILDCARD,
                    "docker-image://docker.io/library/golang:*",
                    "docker-image://golang:${1}-a",
                ),
                "docker-image://golang:1.19-a",
            ),
            (convert(WILDCARD, "docker-image://*/golang:*", "x://$2/$1"), "x://1.19/docker.io/library"),
            (
                convert(REGEX, "docker\\.io/(?P<rest>.*)$", "mirror.example/$rest"),
                "docker-image://mirror.example/library/golang:1.19",
            ),
            (convert(WILDCARD, "docker-image://docker.io/library/golang:1.1", "x://no"), name),
        ] {
            assert_eq!(apply(std::slice::from_ref(&rule), name).as_deref(), Ok(expected), "{rule:?}");
        }
    }

    #[test]
    fn a_conversion_is_judged_again() {
        let convert = |from: &str, to: &str| rule(PolicyAction::Convert, EXACT, from, Some(to));
        assert_eq!(
            apply(&[convert("x://a", "x://b"), convert("x://b", "x://c")], "x://a").as_deref(),
            Ok("x://c")
        );
        assert!(apply(&[deny("x://b"), convert("x://a", "x://b")], "x://a").is_err());
        assert_eq!(
            apply(&[deny("*"), allow("x://b"), convert("x://a", "x://b")], "x://a").as_deref(),
            Ok("x://b")
        );
        let for_ever = [convert("x://a", "x://b"), convert("x://b", "x://a")];
        assert!(apply(&for_ever, "x://a").unwrap_err().contains("too many operations"));
        assert_eq!(apply(&[convert("x://a", "x://a")], "x://a").as_deref(), Ok("x://a"), "that is no change");
    }

    #[test]
    fn every_policy_has_to_allow_it() {
        let rules = Rules::compile([policy(&[allow("*")]), policy(&[deny("x://a")])]).unwrap();
        let mut source = pb::SourceOp { identifier: "x://a".into(), ..Default::default() };
        assert!(rules.apply(&Rules::default(), &mut source).is_err());
        let mine = Rules::compile([policy(&[allow("*")])]).unwrap();
        let theirs = Rules::compile([policy(&[deny("*")])]).unwrap();
        assert!(mine.apply(&theirs, &mut source).is_err());
    }

    #[test]
    fn constraints_look_at_attributes() {
        let constrained = |condition: AttrMatch, value: &str| {
            let mut rule = deny("x://*");
            rule.selector.as_mut().unwrap().constraints =
                vec![AttrConstraint { key: "k".into(), value: value.into(), condition: condition.into() }];
            rule
        };
        for (condition, value, denied) in [
            (AttrMatch::Equal, "v", true),
            (AttrMatch::Equal, "w", false),
            (AttrMatch::Notequal, "w", true),
            (AttrMatch::Notequal, "v", false),
            (AttrMatch::Matches, "^v$", true),
            (AttrMatch::Matches, "w", false),
        ] {
            let rules = Rules::compile([policy(&[constrained(condition, value)])]).unwrap();
            let attrs = [("k".to_owned(), "v".to_owned())].into();
            let mut source = pb::SourceOp { identifier: "x://a".into(), attrs };
            let applied = rules.apply(&Rules::default(), &mut source);
            assert_eq!(applied.is_err(), denied, "{condition:?} {value}");
        }
    }

    #[test]
    fn attributes_are_set_and_the_name_stays() {
        let mut rule = rule(PolicyAction::Convert, WILDCARD, "https://*", Some(""));
        rule.updates.as_mut().unwrap().attrs = [("http.checksum".to_owned(), "sha256:x".to_owned())].into();
        let rules = Rules::compile([policy(&[rule])]).unwrap();
        let mut source = pb::SourceOp { identifier: "https://a".into(), ..Default::default() };
        rules.apply(&Rules::default(), &mut source).unwrap();
        assert_eq!(source.identifier, "https://a");
        assert_eq!(source.attrs["http.checksum"], "sha256:x");
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_it_is_used() {
        let broken = |change: fn(&mut WireRule)| {
            let mut rule = allow("x://a");
            change(&mut rule);
            Rules::compile([policy(&[rule])]).unwrap_err().to_string()
        };
        for (error, part) in [
            (broken(|rule| rule.selector = None), "invalid nil selector in policy"),
            (broken(|rule| rule.action = 9000), "unknown type"),
            (
                broken(|rule| rule.action = PolicyAction::Convert.into()),
                "missing destination for convert rule",
            ),
            (broken(|rule| rule.selector.as_mut().unwrap().match_type = 7), "unknown match type"),
            (broken(|rule| rule.selector.as_mut().unwrap().identifier = "a**".into()), "invalid wildcard"),
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(Rules::compile([policy(&[rule(PolicyAction::Deny, REGEX, "(", None)])]).is_err());
    }
}
