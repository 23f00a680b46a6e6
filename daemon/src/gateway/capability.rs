//! What a frontend must be able to do, by its own word.
//!
//! The client says what it needs in the option `frontend.caps`, the image what it can in the label
//! `moby.buildkit.frontend.caps`: names with commas between, each maybe with `+forward`, which is the client's
//! note to itself.

use std::collections::{BTreeMap, BTreeSet};

use slipway_model::llb::pb;

use super::image::FrontendImage;
use crate::build::failure::Failure;

const LABEL: &str = "moby.buildkit.frontend.caps";
const INPUTS: &str = "moby.buildkit.frontend.inputs";

/// Published images of `docker/dockerfile` (1.1.6, 1.1.7 and their experimental twins) that take inputs without
/// saying so: they are older than the label.
const TAKE_INPUTS: [&str; 4] = [
    "sha256:9ac1c43a60e31dca741a6fe8314130a9cd4c4db0311fbbc636ff992ef60ae76d",
    "sha256:080bd74d8778f83e7b670de193362d8c593c8b14f5c8fb919d28ee8feda0d069",
    "sha256:60543a9d92b92af5088fb2938fb09b2072684af8384399e153e137fe081f8ab4",
    "sha256:de85b2f3a3e8a2f7fe48e8e84a65f6fdd5cd5183afa6412fff9caa6871649c44",
];

pub(super) fn check(
    image: &FrontendImage,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<(), Failure> {
    let mut able = names(image.config.config.labels.get(LABEL));
    if image.digest.is_some_and(|digest| TAKE_INPUTS.contains(&digest.to_string().as_str())) {
        able.insert(INPUTS);
    }
    let mut needed = names(options.get("frontend.caps"));
    if !inputs.is_empty() {
        needed.insert(INPUTS);
    }
    match needed.difference(&able).next() {
        None => Ok(()),
        Some(missing) => Err(Failure::unsupported_capability(missing)),
    }
}

fn names(list: Option<&String>) -> BTreeSet<&str> {
    let entries = list.map(String::as_str).unwrap_or_default().split(',');
    entries.map(|entry| entry.split('+').next().unwrap_or(entry)).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_commas_and_before_a_plus() {
        let list = "moby.buildkit.frontend.inputs,,a+forward,+b".to_owned();
        assert_eq!(names(Some(&list)), BTreeSet::from(["moby.buildkit.frontend.inputs", "a"]));
        assert!(names(None).is_empty());
    }
}
