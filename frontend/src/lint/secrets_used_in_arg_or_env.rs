//! `ARG PASSWORD`: values of arguments stay in the image.

use super::{Linter, Rule};
use crate::dockerfile::Instruction;
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "SecretsUsedInArgOrEnv",
    "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/",
    "Sensitive data should not be used in the ARG or ENV commands",
);

const TELLING: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// `keys`: the names that the instruction sets, expanded.
pub fn check<'a>(instruction: &Instruction, keys: impl IntoIterator<Item = &'a str>, linter: &mut Linter) {
    for key in keys.into_iter().filter(|key| has_part(key, &TELLING) && !has_part(key, &HARMLESS)) {
        let message = format!(
            "Do not use ARG or ENV instructions for sensitive data ({} {})",
            instruction.command.name(),
            quoted(key)
        );
        linter.report(&RULE, instruction.into(), message);
    }
}

/// Whether a part between underscores is one of `words`.
fn has_part(key: &str, words: &[&str]) -> bool {
    key.split('_').any(|part| words.contains(&part.to_lowercase().as_str()))
}
