//! The examples of `docs/dockerfile.md` build, and what the page says of channels and errors holds.

#![allow(clippy::unwrap_used)]

mod memory;

use memory::{Memory, run, run_in};
use slipway_frontend::Language;

const PAGE: &str = include_str!("../../docs/dockerfile.md");

/// Fenced blocks of a kind, with the line each starts in.
fn blocks(kind: &str) -> Vec<(usize, String)> {
    let fence = format!("```dockerfile{kind}");
    let (mut examples, mut open) = (Vec::new(), None);
    for (index, line) in PAGE.lines().enumerate() {
        match (&mut open, line) {
            (None, line) if line == fence => open = Some((index + 2, String::new())),
            (Some(_), "```") => examples.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    examples
}

fn examples() -> Vec<(usize, String)> {
    blocks("")
}

fn builder(example: &str) -> Memory {
    let has_stage = example.lines().any(|line| line.starts_with("FROM "));
    let file = if has_stage { example.to_owned() } else { format!("FROM alpine AS build\n{example}") };
    let [(_, included)] = &blocks(" tools.Dockerfile")[..] else { panic!("one included file") };
    Memory::new(&[("local://dockerfile/Dockerfile", &file), ("local://context/tools.Dockerfile", included)])
}

/// They build where extensions are on, and are errors elsewhere.
#[test]
fn every_example_of_an_extension_is_one() {
    let examples = blocks(" extensions");
    assert_eq!(examples.len(), 3);
    for (line, example) in examples {
        let builder = builder(&example);
        assert!(run(&builder, &[]).is_err(), "docs/dockerfile.md:{line}");
        if let Err(error) = run_in(Language::extended(0), &builder, &[]) {
            panic!("docs/dockerfile.md:{line}: {error}");
        }
    }
}

#[test]
fn every_example_builds() {
    let examples = examples();
    assert!(examples.len() > 15, "{}", examples.len());
    for (line, example) in examples {
        if let Err(error) = run(&builder(&example), &[]) {
            panic!("docs/dockerfile.md:{line}: {error}\n{}", error.diagnostics[0].text(example.as_bytes()));
        }
    }
}

#[test]
fn every_instruction_has_an_example() {
    let all: String = examples().into_iter().map(|(_, example)| example).collect();
    for keyword in [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ] {
        assert!(all.lines().any(|line| line.starts_with(&format!("{keyword} "))), "{keyword}");
    }
}

/// Which channel this is, is chosen when it is built.
#[test]
fn devices_are_of_the_labs_channel() {
    use slipway_model::llb::{marshal, pb::op::Op};
    let result = run(&builder("RUN --device=vendor.com/gpu=0,required true\n"), &[]);
    if cfg!(feature = "labs") {
        let definition = &result.unwrap().outputs[0].definition;
        let devices = definition.def.iter().filter_map(|bytes| match marshal::unmarshal(bytes)?.op? {
            Op::Exec(exec) => exec.cdi_devices.into_iter().next(),
            _ => None,
        });
        let devices: Vec<_> = devices.map(|device| (device.name, device.optional)).collect();
        assert_eq!(devices, [("vendor.com/gpu=0".to_owned(), false)]);
    } else {
        assert!(result.unwrap_err().message.contains("1.14.0-labs"));
    }
}

#[test]
fn all_errors_of_a_file_are_told_with_columns() {
    let file = "FROM alpine AS build\nRUNN x\nCOPY --form=build a b\nHEALTHCHECK WAIT\n";
    let error = run(&memory::dockerfile(file), &[]).unwrap_err();
    assert_eq!(
        error.message,
        "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"
    );
    let places: Vec<_> =
        error.diagnostics.iter().map(|found| (found.start.line, found.start.column)).collect();
    assert_eq!(places, [(2, 1), (3, 6), (4, 13)]);
    let copy = &error.diagnostics[1];
    assert_eq!(copy.suggestion, "from");
    assert_eq!(
        copy.text(file.as_bytes()),
        "error: dockerfile parse error on line 3: unknown flag: --form (did you mean from?)\n \
         --> Dockerfile:3:6\n  |\n3 | COPY --form=build a b\n  |      ^^^^^^\n  \
         = expected one of --chown, --from, --chmod, --link, --exclude, --parents\n"
    );
    let asked = run(&memory::dockerfile(file), &[("requestid", "slipway.diagnostics")]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&asked.metadata["result.json"]).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[2]["severity"], "error");
    assert_eq!(json[2]["start"], serde_json::json!({"line": 4, "column": 13}));
}

/// What lowering finds is explained as what the parser finds.
#[test]
fn values_that_are_none_are_explained() {
    let file = "FROM alpine\nARG KIND=cach\nRUN --mount=type=$KIND,target=/c x\n";
    let error = run(&memory::dockerfile(file), &[]).unwrap_err();
    assert_eq!(error.message, "unsupported mount type \"cach\" (did you mean cache?)");
    assert_eq!(error.diagnostics[0].expected, "bind, cache, secret, ssh or tmpfs");
    let error = run(&memory::dockerfile("FROM alpine AS build\n"), &[("target", "biuld")]).unwrap_err();
    assert_eq!(error.diagnostics[0].suggestion, "build");
}
