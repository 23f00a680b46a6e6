//! Whole builds against a builder that answers from memory.

#![allow(clippy::unwrap_used)]

mod memory;

use std::collections::BTreeMap;

use bytes::Bytes;
use memory::{Memory, dockerfile, run};
use slipway_frontend::{FrontendResult, build};
use slipway_model::Digest;
use slipway_model::llb::{Graph, Node, pb};

fn message(memory: &Memory, options: &[(&str, &str)]) -> String {
    run(memory, options).unwrap_err().message
}

fn operations(result: &FrontendResult) -> Vec<pb::op::Op> {
    let decoded = |bytes: &Bytes| slipway_model::llb::marshal::unmarshal(bytes).unwrap().op;
    result.outputs[0].definition.def.iter().filter_map(decoded).collect()
}

fn identifiers(result: &FrontendResult) -> Vec<String> {
    let source = |op| match op {
        pb::op::Op::Source(source) => Some(source.identifier),
        _ => None,
    };
    operations(result).into_iter().filter_map(source).collect()
}

#[test]
fn the_same_answers_give_the_same_graph() {
    let memory = dockerfile(
        "FROM a AS x\nCOPY --link b /\nFROM x\nRUN --mount=type=cache,target=/c make\nCOPY --from=z /q /r\n",
    );
    let options = [("platform", "linux/amd64,linux/arm64")];
    assert_eq!(run(&memory, &options).unwrap(), run(&memory, &options).unwrap());
}

#[test]
fn only_what_the_target_needs_is_resolved() {
    let memory = dockerfile("FROM missing AS broken\nRUN x\nFROM a AS good\nFROM broken\n");
    assert_eq!(run(&memory, &[("target", "good")]).unwrap().outputs.len(), 1);
    let error = run(&memory, &[]).unwrap_err();
    assert_eq!(error.message, "missing: no such image");
    assert_eq!(error.sources[0].ranges[0].start.unwrap().line, 1);
}

#[test]
fn the_lower_case_file_name_is_found() {
    let memory = Memory::new(&[("local://dockerfile/dockerfile", "FROM a\n")]);
    assert!(run(&memory, &[]).is_ok());
    let nothing = Memory::new(&[]);
    assert_eq!(
        message(&nothing, &[]),
        "failed to read dockerfile: open Dockerfile: no such file or directory"
    );
}

#[test]
fn a_file_has_its_own_ignore_file() {
    let memory = Memory::new(&[
        ("local://dockerfile/Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("local://dockerfile/Dockerfile.dockerignore", "own\n"),
        ("local://context/.dockerignore", "common\n"),
    ]);
    let result = run(&memory, &[]).unwrap();
    let Some(pb::op::Op::Source(context)) = operations(&result).into_iter().next() else { panic!() };
    assert_eq!(context.attrs["local.excludepatterns"], r#"["own"]"#);
}

#[test]
fn what_is_not_supported_says_so() {
    let memory = dockerfile("FROM a\n");
    assert_eq!(message(&memory, &[("requestid", "frontend.x")]), "unsupported request frontend.x");
    let timed = [("context", "https://x.test/r.git"), ("build-arg:SOURCE_DATE_EPOCH", "context")];
    let remote = Memory::new(&[("git://x.test/r.git/Dockerfile", "FROM a\n")]);
    assert!(message(&remote, &timed).contains("is not known to this builder"));
}

#[test]
fn stages_for_windows_have_plain_paths() {
    let windows = [("platform", "windows/amd64")];
    let memory = dockerfile("# escape=`\nFROM scratch\nWORKDIR C:\\app\nCOPY x\\y .\\z\nCMD run\n");
    let result = run(&memory, &windows).unwrap();
    let mut paths = Vec::new();
    for op in operations(&result) {
        let pb::op::Op::File(file) = op else { continue };
        match file.actions.into_iter().next().and_then(|action| action.action) {
            Some(pb::file_action::Action::Mkdir(folder)) => paths.push(folder.path),
            Some(pb::file_action::Action::Copy(copy)) => paths.extend([copy.src, copy.dest]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(paths, ["/app", "/x/y", "/app/z"]);
    let config: serde_json::Value = serde_json::from_slice(&result.outputs[0].config).unwrap();
    assert_eq!(config["config"]["WorkingDir"], "\\app");
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["cmd", "/S", "/C", "run"]));
    assert!(config["config"]["Env"].is_null());
    let elsewhere = dockerfile("# escape=`\nFROM scratch\nCOPY a D:\\b\n");
    assert!(message(&elsewhere, &windows).contains("not on the system drive"));
}

#[test]
fn a_syntax_line_may_name_the_images_of_this_frontend() {
    let ask = |syntax: &str| {
        let memory = dockerfile(&format!("# syntax={syntax}\nFROM a\n"));
        futures::executor::block_on(build(&memory, &BTreeMap::new(), &BTreeMap::new()))
    };
    for own in ["docker/dockerfile:1", "docker.io/docker/dockerfile-upstream:1.7-labs", "docker/dockerfile"] {
        assert!(ask(own).is_ok(), "{own}");
    }
    let error = ask("example.com/other:1 flag").unwrap_err();
    assert!(error.message.contains("\"example.com/other:1\""), "{}", error.message);
    assert_eq!(error.sources[0].ranges[0].start.map(|start| start.line), Some(1));
}

#[test]
fn commands_run_on_the_canonical_platform() {
    let memory = dockerfile("FROM --platform=linux/arm64/v8 a AS b\nRUN x\nWORKDIR /w\nRUN y\n");
    let result = run(&memory, &[]).unwrap();
    let mut variants = Vec::new();
    for bytes in &result.outputs[0].definition.def {
        let op = slipway_model::llb::marshal::unmarshal(bytes).unwrap();
        if let Some(platform) = op.platform {
            variants.push(platform.variant);
        }
    }
    // The image is asked for as written.
    assert_eq!(variants, ["v8", "", ""]);
}

#[test]
fn a_stage_from_scratch_names_no_platform() {
    let memory = dockerfile("FROM scratch\nWORKDIR /w\nRUN y\n");
    let result = run(&memory, &[("multi-platform", "1")]).unwrap();
    let names = result.outputs[0].definition.metadata.values();
    let names: Vec<_> = names.filter_map(|metadata| metadata.description.get("llb.customname")).collect();
    assert!(names.iter().any(|name| *name == "[2/2] RUN y"), "{names:?}");
}

#[test]
fn layers_that_no_image_names_are_null() {
    let layers = |text: &str, options: &[(&str, &str)]| {
        let result = run(&dockerfile(text), options).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&result.outputs[0].config).unwrap();
        config["rootfs"].clone()
    };
    let none = serde_json::json!({"type": "layers", "diff_ids": null});
    assert_eq!(layers("FROM scratch AS a\nFROM a\nCOPY x /\n", &[]), none);
    let bare = serde_json::json!({"type": "", "diff_ids": null});
    assert_eq!(layers("FROM scratch AS a\n", &[("context:a", "local:a")]), bare);
}

#[test]
fn checksums_of_downloads_are_checked() {
    let add = |checksum: &str| format!("FROM a\nADD --checksum={checksum} https://x.test/f /\n");
    for (checksum, problem) in [
        ("md5:24", "unsupported digest algorithm"),
        ("sha256:24", "invalid checksum digest length"),
        ("24", "invalid checksum digest format"),
    ] {
        assert_eq!(message(&dockerfile(&add(checksum)), &[]), problem);
    }
}

#[test]
fn options_of_others_change_nothing() {
    let memory = dockerfile("FROM a\nRUN x\n");
    let plain = run(&memory, &[]).unwrap();
    let others = [
        ("attest:provenance", "mode=min"),
        ("cache-imports", "[]"),
        ("frontend.caps", "moby.buildkit.frontend.inputs"),
        ("source", "docker/dockerfile"),
        ("vcs:revision", "1"),
    ];
    assert_eq!(run(&memory, &others).unwrap(), plain);
}

#[test]
fn an_image_of_an_oci_layout_is_asked_of_its_store() {
    let digest = Digest::of(b"image");
    let memory = dockerfile("FROM base\n");
    let input = format!("oci-layout://store@{digest}");
    let result = run(&memory, &[("context:base", &input)]).unwrap();
    assert!(String::from_utf8_lossy(&result.outputs[0].config).contains("STORE=store"));
    assert_eq!(identifiers(&result), [format!("oci-layout://docker.io/library/base@{digest}")]);
}

#[test]
fn a_downloaded_archive_is_unpacked_as_context() {
    let url = "https://x.test/c";
    let files = [
        ("https://x.test/c/context", "\u{1f}BZh"),
        ("local://dockerfile/Dockerfile", "FROM scratch\nCOPY a /\n"),
    ];
    let mut memory = Memory::new(&files);
    memory.files.insert("https://x.test/c/context".to_owned(), "BZh9".to_owned());
    let result = run(&memory, &[("context", url), ("dockerfilekey", "dockerfile")]).unwrap();
    assert_eq!(identifiers(&result), [url]);
    let Some(pb::op::Op::File(unpack)) = operations(&result).into_iter().nth(1) else { panic!() };
    let Some(pb::file_action::Action::Copy(copy)) = &unpack.actions[0].action else { panic!() };
    assert!(copy.attempt_unpack_docker_compatibility);
}

#[test]
fn a_graph_of_the_client_may_be_a_context() {
    let mut graph = Graph::new();
    let source = pb::SourceOp { identifier: "git://x.test/r".to_owned(), ..pb::SourceOp::default() };
    let op = pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() };
    let head = graph.add(Node { op, ..Node::default() }).output();
    let inputs = BTreeMap::from([("in".to_owned(), graph.definition(Some(head), &[]))]);
    let memory = dockerfile("FROM scratch\nCOPY --from=other a /\n");
    let options = [("cmdline", "x"), ("context:other", "input:in")];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let result = futures::executor::block_on(build(&memory, &options, &inputs)).unwrap();
    assert_eq!(identifiers(&result), ["git://x.test/r"]);
}

#[test]
fn a_number_counts_what_was_named_before() {
    let file = |number| {
        dockerfile(&format!(
            "FROM scratch\nRUN --mount=type=tmpfs,target=/a --mount=type=tmpfs,target=/b x\nCOPY --from={number} /a /b\n"
        ))
    };
    assert!(run(&file(2), &[]).is_ok());
    assert!(message(&file(3), &[]).contains("invalid stage index 3"));
}
