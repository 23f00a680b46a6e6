//! A base image of another platform than asked for.

use super::{Linter, Place, Rule};
use slipway_model::Platform;

use crate::dockerfile::Range;
use slipway_model::quote::quoted;

pub static RULE: Rule =
    Rule::new("InvalidBaseImagePlatform", "", "Base image platform does not match expected target platform");

/// `image` as written in the `FROM` at `ranges`.
pub fn check(ranges: &[Range], image: &str, expected: &Platform, actual: &Platform, linter: &mut Linter) {
    if expected.os != actual.os || expected.architecture != actual.architecture {
        let (expected, actual) = (expected.normalized().to_string(), actual.normalized().to_string());
        let message = format!(
            "Base image {image} was pulled with platform {}, expected {} for current build",
            quoted(actual),
            quoted(expected)
        );
        linter.report(&RULE, Place { ranges, comments: &[] }, message);
    }
}
