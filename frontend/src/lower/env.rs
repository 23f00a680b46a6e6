//! `ENV` and `LABEL`.

use super::Lowering;
use super::history::add_setting;
use super::stage::StageState;
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::{Env, KeyValue, Label};
use crate::error::Failure;
use crate::lint;

impl Lowering<'_> {
    pub(super) fn env(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        env: &Env,
    ) -> Result<(), Failure> {
        let Env(pairs) = env.expand(&mut |word| self.expand(stage, instruction, word))?;
        lint::legacy_key_value_format::check(instruction, &mut self.linter);
        let keys = pairs.iter().map(|pair| pair.key.as_str());
        lint::secrets_used_in_arg_or_env::check(instruction, keys, &mut self.linter);
        for KeyValue { key, value, .. } in &pairs {
            stage.state.environment.set(key, value.as_str());
            set_in_list(&mut stage.image.config.env, key, value);
        }
        add_setting(&mut stage.image, with_pairs("ENV", &pairs), self.epoch);
        Ok(())
    }

    pub(super) fn label(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        label: &Label,
    ) -> Result<(), Failure> {
        let Label(pairs) = label.expand(&mut |word| self.expand(stage, instruction, word))?;
        lint::legacy_key_value_format::check(instruction, &mut self.linter);
        for pair in &pairs {
            stage.image.config.labels.insert(pair.key.clone(), pair.value.clone());
        }
        add_setting(&mut stage.image, with_pairs("LABEL", &pairs), self.epoch);
        Ok(())
    }
}

fn with_pairs(keyword: &str, pairs: &[KeyValue]) -> String {
    pairs.iter().fold(keyword.to_owned(), |text, pair| format!("{text} {}={}", pair.key, pair.value))
}

/// In an image config a variable keeps its place.
fn set_in_list(list: &mut Vec<String>, key: &str, value: &str) {
    let text = format!("{key}={value}");
    match list
        .iter_mut()
        .find(|variable| variable.split_once('=').map_or(variable.as_str(), |(key, _)| key) == key)
    {
        Some(variable) => *variable = text,
        None => list.push(text),
    }
}
