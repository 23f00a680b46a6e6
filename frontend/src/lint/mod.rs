//! Lint: what is legal in a Dockerfile but likely not meant.
//!
//! A rule per file: its name, and one `check` that says when it is broken. Names, texts and order are
//! those of the reference, whose users skip rules by name.
//!
//! | known when | rules | called by |
//! |---|---|---|
//! | the file is read | continuation, casings, stage names, `MAINTAINER`, descriptions | [`check`] |
//! | global arguments have values | bases and platforms of `FROM` | lowering, for each stage |
//! | an instruction is lowered | all others | lowering, for each instruction |
//!
//! A comment `# check=skip=Rule` above an instruction counts for it alone, so every report names the
//! comments it stands under.

mod config;
pub mod consistent_instruction_casing;
pub mod copy_ignored_file;
pub mod duplicate_stage_name;
pub mod expose_invalid_format;
pub mod expose_proto_casing;
pub mod from_as_casing;
pub mod from_platform_flag_const_disallowed;
pub mod invalid_base_image_platform;
pub mod invalid_default_arg_in_from;
pub mod invalid_definition_description;
pub mod json_args_recommended;
pub mod legacy_key_value_format;
mod linter;
pub mod maintainer_deprecated;
pub mod multiple_instructions_disallowed;
pub mod no_empty_continuation;
pub mod redundant_target_platform;
pub mod reserved_stage_name;
mod rule;
pub mod secrets_used_in_arg_or_env;
pub mod stage_name_casing;
pub mod undefined_arg_in_from;
pub mod undefined_var;
pub mod workdir_relative_path;

pub use config::Config;
pub use linter::{LintError, Linter, Place};
pub use rule::{Finding, Rule};

use crate::dockerfile::{Dockerfile, Reading};

/// The rules that need nothing but the file, in the reference's order.
pub fn check(dockerfile: &Dockerfile, linter: &mut Linter) {
    check_instructions(dockerfile, linter);
    let mut names = duplicate_stage_name::Names::default();
    for stage in &dockerfile.stages {
        reserved_stage_name::check(stage, linter);
        names.check(stage, linter);
    }
    consistent_instruction_casing::check(&dockerfile.stages, linter);
}

/// The same for a file with errors: rules of single instructions, up to the one that is wrong.
pub fn check_faulty(reading: &Reading, linter: &mut Linter) {
    check_instructions(&reading.dockerfile, linter);
    let Some(faulty) = &reading.faulty else { return };
    let place = Place { ranges: &faulty.ranges, comments: &faulty.comments };
    match faulty.keyword.to_lowercase().as_str() {
        "from" => {
            if let [_, _, name] = &faulty.words[..] {
                stage_name_casing::check_name(name, place, linter);
            }
            if let [_, keyword, _, ..] = &faulty.words[..] {
                from_as_casing::check_keywords(&faulty.keyword, keyword, place, linter);
            }
        }
        "maintainer" => maintainer_deprecated::check_keyword(place, linter),
        _ => {}
    }
}

fn check_instructions(dockerfile: &Dockerfile, linter: &mut Linter) {
    no_empty_continuation::check(dockerfile, linter);
    for arg in &dockerfile.global_args {
        invalid_definition_description::check_arg(arg, linter);
    }
    for stage in &dockerfile.stages {
        stage_name_casing::check(stage, linter);
        from_as_casing::check(stage, linter);
        invalid_definition_description::check_stage(stage, linter);
        for instruction in &stage.instructions {
            maintainer_deprecated::check(instruction, linter);
            invalid_definition_description::check_arg(instruction, linter);
        }
    }
}
