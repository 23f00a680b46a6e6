//! What differs between two operations, in words. Their inputs are others' business.

use std::collections::{BTreeMap, BTreeSet};

use crate::cause::{Cause, Kind};
use crate::material::Material;
use crate::words;

/// In the order in which they are told. Empty only for equal materials.
pub fn differences(old: &Material, new: &Material) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old.kind != new.kind {
        causes.push(Cause::changed(Kind::Field, "operation", Some(&old.kind), Some(&new.kind)));
        return causes;
    }
    if old.kind == "image" {
        images(old, new, &mut causes);
    }
    arguments(&old.arguments, &new.arguments, &mut causes);
    variables(old, new, &mut causes);
    let told = |name: &str| old.kind == "image" && (name == "reference" || name == "digest");
    for (name, before, now) in changed(&old.fields, &new.fields) {
        if !told(name) {
            causes.push(field(&old.kind, name, before, now));
        }
    }
    mounts(old, new, &mut causes);
    causes
}

fn images(old: &Material, new: &Material, causes: &mut Vec<Cause>) {
    let field = |material: &Material, name: &str| material.fields.get(name).cloned().unwrap_or_default();
    let (before, now) = (field(old, "reference"), field(new, "reference"));
    if before != now {
        causes.push(Cause::changed(Kind::BaseImage, "", Some(&before), Some(&now)));
        return;
    }
    let (before, after) = (field(old, "digest"), field(new, "digest"));
    if before != after {
        causes.push(Cause::changed(Kind::BaseImage, now, Some(&before), Some(&after)));
    }
}

/// A client's patterns are lists; what entered or left them says more than both in full.
fn field(kind: &str, name: &str, before: Option<&str>, now: Option<&str>) -> Cause {
    if kind == "local" && name.ends_with("patterns") {
        let list = |text: Option<&str>| -> Vec<String> {
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
        };
        let (before, now) = (list(before), list(now));
        let only = |these: &[String], others: &[String]| {
            let only: Vec<_> = these.iter().filter(|one| !others.contains(one)).cloned().collect();
            (!only.is_empty()).then(|| only.join(" "))
        };
        let (gone, come) = (only(&before, &now), only(&now, &before));
        return Cause::changed(Kind::Field, name, gone.as_deref(), come.as_deref());
    }
    Cause::changed(Kind::Field, name, before, now)
}

fn arguments(old: &[String], new: &[String], causes: &mut Vec<Cause>) {
    if old == new {
        return;
    }
    let (before, now) = match (old, new) {
        ([shell, flag, before], [new_shell, new_flag, now]) if shell == new_shell && flag == new_flag => {
            words::changed(before, now)
        }
        _ => listed(old, new),
    };
    causes.push(Cause::changed(Kind::Argument, "", Some(&before), Some(&now)));
}

/// The words that are left when those at both ends that are equal are taken away.
fn listed(old: &[String], new: &[String]) -> (String, String) {
    let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - front;
    let back = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle = |words: &[String]| words.get(front..words.len() - back).unwrap_or_default().join(" ");
    (middle(old), middle(new))
}

fn variables(old: &Material, new: &Material, causes: &mut Vec<Cause>) {
    let map =
        |material: &Material| -> BTreeMap<String, String> { material.environment.iter().cloned().collect() };
    let (before, now) = (map(old), map(new));
    let before_count = causes.len();
    for (name, before, now) in changed(&before, &now) {
        causes.push(Cause::changed(Kind::Environment, name, before, now));
    }
    if causes.len() == before_count && old.environment != new.environment {
        let names = |material: &Material| {
            material.environment.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let (before, now) = (names(old), names(new));
        causes.push(Cause::changed(Kind::Field, "order of variables", Some(&before), Some(&now)));
    }
}

fn mounts(old: &Material, new: &Material, causes: &mut Vec<Cause>) {
    // The plain root is left out of a key as long as it is alone.
    let places: BTreeSet<&String> = old.mounts.keys().chain(new.mounts.keys()).collect();
    let others = places.iter().filter(|place| place.as_str() != "/").count();
    for place in places {
        match (old.mounts.get(place), new.mounts.get(place)) {
            (Some(before), Some(now)) => {
                for (name, before, now) in changed(before, now) {
                    causes.push(Cause::changed(Kind::Mount, format!("{place} {name}"), before, now));
                }
            }
            (None, None) => {}
            _ if place == "/" && others > 0 && (old.mounts.is_empty() || new.mounts.is_empty()) => {}
            (before, now) => {
                let kind = |mount: Option<&BTreeMap<String, String>>| mount.map(described);
                causes.push(Cause::changed(
                    Kind::Mount,
                    place,
                    kind(before).as_deref(),
                    kind(now).as_deref(),
                ));
            }
        }
    }
}

/// `type=cache id=x`, without what is as it would be anyway.
fn described(mount: &BTreeMap<String, String>) -> String {
    let kind = mount.get("type").map(String::as_str).unwrap_or_default();
    let mut text = format!("type={kind}");
    for (name, value) in mount.iter().filter(|(name, _)| !["type", "changes"].contains(&name.as_str())) {
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

/// What is not the same in both, by name.
fn changed<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = names
        .into_iter()
        .map(|name| (name.as_str(), old.get(name).map(String::as_str), new.get(name).map(String::as_str)));
    pairs.filter(|(_, old, new)| old != new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &str) -> Material {
        Material {
            kind: "exec".into(),
            arguments: ["/bin/sh", "-c", command].map(String::from).to_vec(),
            ..Material::default()
        }
    }

    fn said(old: &Material, new: &Material) -> Vec<String> {
        differences(old, new).iter().map(|cause| cause.text("")).collect()
    }

    #[test]
    fn each_thing_is_named() {
        let old = exec("make -j2 all");
        assert_eq!(said(&old, &old), [""; 0]);
        assert_eq!(said(&old, &exec("make -j4 all")), ["argument: -j2 → -j4"]);
        let mut new = old.clone();
        new.environment.push(("A".into(), "1".into()));
        assert_eq!(said(&old, &new), ["variable A added: 1"]);
        assert_eq!(said(&new, &old), ["variable A removed: 1"]);
        let mut new = old.clone();
        new.fields.insert("user".into(), "me".into());
        assert_eq!(said(&old, &new), ["user added: me"]);
        let mut other = old.clone();
        other.arguments = ["/bin/true", "x"].map(String::from).to_vec();
        assert_eq!(said(&old, &other), ["argument: /bin/sh -c make -j2 all → /bin/true x"]);
    }

    #[test]
    fn variables_in_another_order_are_a_difference() {
        let with = |names: [&str; 2]| Material {
            environment: names.map(|name| (name.to_owned(), "1".to_owned())).to_vec(),
            ..exec("make")
        };
        assert_eq!(said(&with(["A", "B"]), &with(["B", "A"])), ["order of variables: A B → B A"]);
    }

    #[test]
    fn a_mount_is_told_without_the_root_that_comes_with_it() {
        let mount = |kind: &str| BTreeMap::from([("type".to_owned(), kind.to_owned())]);
        let old = exec("make");
        let mut new = old.clone();
        new.mounts = BTreeMap::from([("/".into(), mount("bind")), ("/c".into(), mount("cache"))]);
        assert_eq!(said(&old, &new), ["mount /c added: type=cache"]);
        let mut changed = new.clone();
        changed.mounts.insert("/c".into(), mount("tmpfs"));
        assert_eq!(said(&new, &changed), ["mount /c type: cache → tmpfs"]);
    }
}
