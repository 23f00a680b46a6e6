//! `ENV` and `LABEL`.

use std::collections::HashMap;

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
            stage.config_places.set(&mut stage.image.config.env, key, value);
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
    let mut text = keyword.to_owned();
    for KeyValue { key, value, .. } in pairs {
        text.extend([" ", key, "=", value]);
    }
    text
}

/// Where each variable of an image config stands: in it, a variable keeps its place.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigPlaces(HashMap<String, usize>);

impl ConfigPlaces {
    pub(super) fn of(list: &[String]) -> Self {
        let mut places = HashMap::new();
        for (place, variable) in list.iter().enumerate() {
            let key = variable.split_once('=').map_or(variable.as_str(), |(key, _)| key);
            places.entry(key.to_owned()).or_insert(place);
        }
        Self(places)
    }

    fn set(&mut self, list: &mut Vec<String>, key: &str, value: &str) {
        let text = format!("{key}={value}");
        match self.0.get(key).and_then(|place| list.get_mut(*place)) {
            Some(variable) => *variable = text,
            None => {
                self.0.insert(key.to_owned(), list.len());
                list.push(text);
            }
        }
    }
}
