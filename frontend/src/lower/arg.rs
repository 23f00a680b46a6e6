//! `ARG` inside a stage.

use super::Lowering;
use super::history::add_setting;
use super::stage::StageState;
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::{Arg, Argument};
use crate::error::Failure;
use crate::lint;

/// Arguments that steer the build and are no variables of it.
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl Lowering<'_> {
    /// The value is the client's, else the default, else that of the global argument.
    pub(super) fn arg(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        arg: &Arg,
    ) -> Result<(), Failure> {
        let keys = arg.0.iter().map(|argument| argument.key.as_str());
        lint::secrets_used_in_arg_or_env::check(instruction, keys, &mut self.linter);
        let mut text = "ARG".to_owned();
        for argument in &arg.0 {
            let value = match (self.build_arguments.get(&argument.key), &argument.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(stage, instruction, default)?),
                (None, None) => self.global.value(&argument.key).map(str::to_owned),
            };
            if let Some(outline) = &mut stage.outline {
                let is_inherited = value.is_some()
                    && argument.value.is_none()
                    && !self.build_arguments.contains_key(&argument.key);
                outline.add(argument, value.as_deref(), is_inherited, &instruction.ranges);
            }
            text.push(' ');
            text.push_str(&argument.key);
            if let Some(value) = &value {
                if !NO_VARIABLES.contains(&argument.key.as_str()) {
                    stage.state.environment.set(&argument.key, value.as_str());
                }
                text.push('=');
                text.push_str(value);
            }
            stage.arguments.add(Argument { value, ..argument.clone() });
        }
        add_setting(&mut stage.image, text, self.epoch);
        Ok(())
    }
}
