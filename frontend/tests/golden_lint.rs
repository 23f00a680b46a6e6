//! `lint/*.json`: what the rules find that need no build to be decided.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test

mod golden;

use serde_json::Value;
use slipway_frontend::dockerfile::shell::{EnvironmentList, Lexer};
use slipway_frontend::dockerfile::{Command, Dockerfile, Instruction, Stage, directive, parse};
use slipway_frontend::lint::{self, Config, Linter};

/// Rules of the file alone: equal in number and order.
const OF_FILE: [&str; 8] = [
    "NoEmptyContinuation",
    "StageNameCasing",
    "FromAsCasing",
    "ConsistentInstructionCasing",
    "DuplicateStageName",
    "ReservedStageName",
    "MaintainerDeprecated",
    "InvalidDefinitionDescription",
];

/// Rules of stages and instructions whose words hold no variables here: compared where every stage
/// is linted.
const OF_BUILD: [&str; 7] = [
    "InvalidDefaultArgInFrom",
    "FromPlatformFlagConstDisallowed",
    "RedundantTargetPlatform",
    "LegacyKeyValueFormat",
    "SecretsUsedInArgOrEnv",
    "MultipleInstructionsDisallowed",
    "JSONArgsRecommended",
];

#[test]
fn files_are_linted_as_in_the_reference() {
    let (wrong, compared) = compare(&OF_FILE, false);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{compared} files");
}

#[test]
fn stages_are_linted_as_in_the_reference() {
    let (wrong, compared) = compare(&OF_BUILD, true);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{compared} files");
}

fn compare(rules: &[&str], needs_all_stages: bool) -> (Vec<String>, usize) {
    let Some(folder) = golden::folder() else { return (Vec::new(), 0) };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for case in std::fs::read_dir(folder.join("lint")).unwrap() {
        let answer = case.unwrap().path();
        let case = folder.join("dockerfiles").join(answer.file_stem().unwrap());
        let expected: Value = serde_json::from_str(&std::fs::read_to_string(&answer).unwrap()).unwrap();
        let options: Value =
            serde_json::from_str(&std::fs::read_to_string(case.join("opts.json")).unwrap()).unwrap();
        let failed = !expected["lint"].is_object() || !expected["lint"]["buildError"].is_null();
        if failed || (needs_all_stages && options.get("target").is_some()) {
            continue;
        }
        let name = options.get("filename").and_then(Value::as_str).unwrap_or("Dockerfile");
        let Ok(source) = std::fs::read(case.join(name)) else { continue };
        let dockerfile = parse(&source).unwrap();
        let mut linter = Linter::new(config(&source, &options));
        lint::check(&dockerfile, &mut linter);
        lint_stages(&dockerfile, &mut linter);
        compared += 1;
        let mut ours: Vec<String> = linter
            .findings()
            .iter()
            .filter(|finding| rules.contains(&finding.rule.name))
            .map(|finding| {
                let lines: Vec<_> = finding.ranges.iter().map(|range| u64::from(range.start.line)).collect();
                let rule = finding.rule;
                format!("{} {} {} {} {lines:?}", rule.name, finding.message, rule.description, rule.url)
            })
            .collect();
        let mut theirs = shown(&expected["lint"]["warnings"], rules);
        if needs_all_stages {
            ours.sort();
            theirs.sort();
        }
        let outcome = golden::same("findings", ours, theirs);
        wrong.extend(outcome.err().map(|outcome| format!("{}: {outcome}", case.display())));
    }
    (wrong, compared)
}

fn config(source: &[u8], options: &Value) -> Config {
    let argument = options.get("build-arg:BUILDKIT_DOCKERFILE_CHECK").and_then(Value::as_str);
    let directive = directive::find("check", source);
    let text = argument.or(directive.as_ref().map(|directive| directive.first_word()));
    Config::parse(text.unwrap_or_default()).unwrap()
}

/// What lowering does, as far as it needs no values.
fn lint_stages(dockerfile: &Dockerfile, linter: &mut Linter) {
    let predefined = predefined();
    lint::invalid_default_arg_in_from::check(dockerfile, &predefined, linter);
    let lexer = Lexer::new(dockerfile.escape);
    let environment: EnvironmentList = predefined.iter().collect();
    let mut with_shell: Vec<bool> = Vec::new();
    for (index, stage) in dockerfile.stages.iter().enumerate() {
        if !stage.from.platform.is_empty() {
            let platform = lexer.process(&stage.from.platform, &environment).unwrap();
            lint::redundant_target_platform::check(stage, &platform, "linux/amd64", linter);
            lint::from_platform_flag_const_disallowed::check(stage, &platform, linter);
        }
        let base = Stage::position(&dockerfile.stages[..index], &stage.from.base);
        let mut shell = base.is_some_and(|base| with_shell[base]);
        let mut seen = lint::multiple_instructions_disallowed::Seen::default();
        for instruction in &stage.instructions {
            shell |= matches!(instruction.command, Command::Shell(_));
            lint::legacy_key_value_format::check(instruction, linter);
            lint::secrets_used_in_arg_or_env::check(instruction, keys(instruction), linter);
            seen.check(instruction, linter);
            lint::json_args_recommended::check(instruction, shell, linter);
        }
        with_shell.push(shell);
    }
}

/// The names that an `ARG` or `ENV` sets.
fn keys(instruction: &Instruction) -> Vec<&str> {
    match &instruction.command {
        Command::Arg(arg) => arg.0.iter().map(|argument| argument.key.as_str()).collect(),
        Command::Env(env) => env.0.iter().map(|pair| pair.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn predefined() -> Vec<String> {
    let mut list = Vec::new();
    for side in ["BUILD", "TARGET"] {
        for (key, value) in [
            ("PLATFORM", "linux/amd64"),
            ("OS", "linux"),
            ("OSVERSION", ""),
            ("ARCH", "amd64"),
            ("VARIANT", ""),
        ] {
            list.push(format!("{side}{key}={value}"));
        }
    }
    list.push("TARGETSTAGE=default".to_owned());
    list
}

fn shown(warnings: &Value, rules: &[&str]) -> Vec<String> {
    let text = |warning: &Value, key: &str| warning[key].as_str().unwrap_or_default().to_owned();
    let warnings = warnings.as_array().cloned().unwrap_or_default();
    let named = warnings.iter().filter(|warning| rules.contains(&text(warning, "ruleName").as_str()));
    named
        .map(|warning| {
            let ranges = warning["location"]["ranges"].as_array().cloned().unwrap_or_default();
            let lines: Vec<_> = ranges.iter().map(|range| range["start"]["line"].as_u64().unwrap()).collect();
            let (rule, detail) = (text(warning, "ruleName"), text(warning, "detail"));
            format!("{rule} {detail} {} {} {lines:?}", text(warning, "description"), text(warning, "url"))
        })
        .collect()
}
