//! `FROM --platform=$TARGETPLATFORM`: that is the default.

use super::{Linter, Rule};
use crate::dockerfile::Stage;
use crate::dockerfile::shell::Expansion;

pub static RULE: Rule = Rule::new(
    "RedundantTargetPlatform",
    "https://docs.docker.com/go/dockerfile/rule/redundant-target-platform/",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
);

/// `platform` is the flag expanded, `target` the value of `TARGETPLATFORM`.
pub fn check(stage: &Stage, platform: &Expansion, target: &str, linter: &mut Linter) {
    let alone = platform.unmatched.is_empty() && platform.matched.iter().eq(["TARGETPLATFORM"]);
    if alone && platform.text == target {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            stage.from.platform
        );
        linter.report(&RULE, stage.into(), message);
    }
}
