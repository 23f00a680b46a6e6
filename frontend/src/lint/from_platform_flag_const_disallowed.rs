//! `FROM --platform=linux/amd64`: no other platform can be built.

use super::{Linter, Rule};
use slipway_model::Platform;

use crate::dockerfile::Stage;
use crate::dockerfile::shell::Expansion;
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "FromPlatformFlagConstDisallowed",
    "https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/",
    "FROM --platform flag should not use a constant value",
);

/// `platform` is the flag expanded. A stage whose name tells the platform means it.
pub fn check(stage: &Stage, platform: &Expansion, linter: &mut Linter) {
    if !platform.matched.is_empty() || !platform.unmatched.is_empty() {
        return;
    }
    let Ok(parsed) = platform.text.parse::<Platform>() else { return };
    if !stage.name.contains(&parsed.os) && !stage.name.contains(&parsed.architecture) {
        let text = quoted(&platform.text);
        let message = format!("FROM --platform flag should not use constant value {text}");
        linter.report(&RULE, stage.into(), message);
    }
}
