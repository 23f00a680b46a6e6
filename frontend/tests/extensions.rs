//! The extensions of the language: what they make of a file, and that nothing of them is there unless asked for.

#![allow(clippy::unwrap_used)]

mod memory;

use memory::{Memory, dockerfile, run, run_in};
use slipway_frontend::{FrontendResult, Language};
use slipway_model::llb::pb::file_action::Action;
use slipway_model::llb::{marshal, pb};

const DAY: i64 = 86_400;

fn extended(memory: &Memory) -> Result<FrontendResult, slipway_frontend::Error> {
    run_in(Language::extended(10 * DAY + 7), memory, &[])
}

fn files(files: &[(&str, &str)]) -> Memory {
    let mut all = vec![("local://dockerfile/Dockerfile".to_owned(), files[0].1)];
    all.extend(files[1..].iter().map(|(name, text)| (format!("local://{name}"), *text)));
    let all: Vec<(&str, &str)> = all.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    Memory::new(&all)
}

fn operations(result: &FrontendResult) -> Vec<pb::op::Op> {
    let definition = &result.outputs[0].definition;
    definition.def.iter().filter_map(|bytes| marshal::unmarshal(bytes)?.op).collect()
}

/// Source identifiers, in the order of the graph.
fn sources(result: &FrontendResult) -> Vec<String> {
    let source = |op| match op {
        pb::op::Op::Source(source) => Some(source.identifier),
        _ => None,
    };
    operations(result).into_iter().filter_map(source).collect()
}

fn commands(result: &FrontendResult) -> Vec<pb::Meta> {
    let command = |op| match op {
        pb::op::Op::Exec(exec) => exec.meta,
        _ => None,
    };
    operations(result).into_iter().filter_map(command).collect()
}

fn message(file: &str) -> String {
    extended(&dockerfile(file)).unwrap_err().message
}

#[test]
fn a_source_may_be_named_by_arguments() {
    let file = "ARG A=one\nFROM x AS one\nRUN 1\nFROM y AS two\nRUN 2\nFROM scratch\nARG B=tw\n\
                COPY --from=$A a /\nCOPY --from=${B}o a /\nRUN --mount=from=$B:1,target=/t z\n";
    let result = extended(&dockerfile(file)).unwrap();
    let plain = file.replace("$A", "one").replace("${B}o", "two").replace("$B:1", "tw:1");
    let expected = run(&dockerfile(&plain), &[]).unwrap();
    assert_eq!(result.outputs[0].definition.def, expected.outputs[0].definition.def);
    let given = run_in(Language::extended(0), &dockerfile(file), &[("build-arg:A", "two")]).unwrap();
    assert!(!sources(&given).contains(&"docker-image://docker.io/library/x:latest".to_owned()));
}

#[test]
fn a_source_must_be_known_before_images_are() {
    let wrong = message("ARG VARIANT=a\nFROM x AS a\nFROM y\nENV V=a\nCOPY --from=$VARANT a /\n");
    assert!(wrong.contains("the variable VARANT of from=$VARANT"), "{wrong}");
    assert!(wrong.ends_with("(did you mean VARIANT?)"), "{wrong}");
    assert!(message("FROM x AS a\nFROM y\nENV V=a\nCOPY --from=$V a /\n").contains("variable V"));
    assert!(message("ARG V=\nFROM y\nRUN --mount=from=$V,target=/x a\n").contains("names nothing"));
    let plain = run(&dockerfile("ARG V=a\nFROM y\nCOPY --from=$V a /\n"), &[]).unwrap_err().message;
    assert!(plain.starts_with("variable expansion is not supported for --from"), "{plain}");
}

#[test]
fn included_files_stand_where_they_are_named() {
    let files = files(&[
        ("", "INCLUDE args.inc\nFROM alpine:$TAG AS a\nRUN 1\nINCLUDE sub/steps.inc\nRUN 4\n"),
        ("context/args.inc", "# what to use\nARG TAG=3\n"),
        ("context/sub/steps.inc", "RUN 2 \\\n  more\nINCLUDE --from=lib last.inc\n"),
        ("lib/last.inc", "FROM a AS b\nCOPY --from=a /x /\nRUN 3\n"),
    ]);
    let run = |options: &[_]| run_in(Language::extended(0), &files, options);
    let result = run(&[("context:lib", "local:lib")]).unwrap();
    let told: Vec<String> = commands(&result).into_iter().map(|meta| meta.args.concat()).collect();
    assert_eq!(told, ["/bin/sh-c1", "/bin/sh-c2   more", "/bin/sh-c3", "/bin/sh-c4"]);
    assert_eq!(sources(&result)[0], "docker-image://docker.io/library/alpine:3");
    let error = run(&[]).unwrap_err().message;
    assert!(error.starts_with("failed to include last.inc: there is no context lib"), "{error}");
    let targets = run(&[("context:lib", "local:lib"), ("requestid", "frontend.targets")]).unwrap();
    assert!(String::from_utf8_lossy(&targets.metadata["result.txt"]).contains("b (default)"));
}

#[test]
fn what_is_wrong_in_an_included_file_names_it() {
    let error = extended(&files(&[("", "FROM x\nRUN 1\nINCLUDE a\n"), ("context/a", "RUN 2\nRUNN 3\n")]));
    let error = error.unwrap_err();
    assert_eq!(
        error.message,
        "dockerfile parse error on line 3: a:2: unknown instruction: RUNN (did you mean RUN?)"
    );
    assert_eq!(error.sources[0].ranges[0].start.unwrap().line, 3);
    let heredoc = extended(&files(&[("", "FROM x\nINCLUDE a\n"), ("context/a", "RUN <<E\nx\n")]));
    assert!(heredoc.unwrap_err().message.ends_with("a:1: unterminated heredoc"));
    let itself = extended(&files(&[("", "FROM x\nINCLUDE a\n"), ("context/a", "INCLUDE a\n")]));
    assert!(itself.unwrap_err().message.contains("more than 8 deep"));
    assert_eq!(message("FROM x\nINCLUDE b\n"), "failed to include b: no such file in the context");
    assert!(message("FROM x\nINCLUDE\n").contains("INCLUDE requires exactly one argument"));
    assert!(message("FROM x\nINCLUDE $A\n").contains("variable expansion"));
    assert!(message("FROM x\nONBUILD INCLUDE a\n").contains("isn't allowed as an ONBUILD trigger"));
    let many = "INCLUDE a\n".repeat(65);
    let error = extended(&files(&[("", &format!("FROM x\n{many}")), ("context/a", "RUN 1\n")]));
    assert!(error.unwrap_err().message.contains("more than 64 files"));
    let plain = run(&dockerfile("FROM x\nINCLUDE a\n"), &[]).unwrap_err().message;
    assert!(plain.contains("unknown instruction: INCLUDE"), "{plain}");
}

#[test]
fn single_instructions_can_do_without_the_cache() {
    let file = "FROM x\nCOPY a /\nRUN --no-cache 1\nRUN --no-cache=false 2\nCOPY --no-cache --link b /\n";
    let result = extended(&dockerfile(file)).unwrap();
    let metadata = result.outputs[0].definition.metadata.values();
    let ignored = metadata.filter(|metadata| metadata.ignore_cache);
    let mut names: Vec<&str> =
        ignored.map(|metadata| metadata.description["llb.customname"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "[3/5] RUN --no-cache 1",
            "[5/5] COPY --no-cache --link b /",
            "[5/5] LINK COPY --no-cache --link b /"
        ]
    );
    let plain = run(&dockerfile("FROM x\nRUN --no-cache 1\n"), &[]).unwrap_err().message;
    assert!(plain.contains("unknown flag: --no-cache"), "{plain}");
}

#[test]
fn results_may_be_used_for_a_while() {
    let file = "FROM x\nRUN --cache-ttl=24h 1\nADD --cache-ttl=1h a /\nRUN 2\n";
    let at = |now| run_in(Language::extended(now), &dockerfile(file), &[]).unwrap();
    let def = |now| at(now).outputs[0].definition.def.clone();
    assert_eq!(def(10 * DAY), def(10 * DAY + 3599));
    assert_ne!(def(10 * DAY), def(10 * DAY + 3600));
    let first = |now| commands(&at(now)).remove(0);
    assert_eq!(first(10 * DAY + 3600), first(11 * DAY - 1));
    assert_eq!(first(10 * DAY + 5).env.last().unwrap(), "SLIPWAY_CACHE_PERIOD=864000");
    assert!(!commands(&at(0))[1].env.iter().any(|variable| variable.contains("PERIOD")));
    // The note is of no output, and nothing reads it.
    let copy = operations(&at(DAY)).into_iter().find_map(|op| match op {
        pb::op::Op::File(file) => Some(file),
        _ => None,
    });
    let [copy, note] = &copy.unwrap().actions[..] else { panic!("two actions") };
    assert!(matches!((&copy.action, copy.output), (Some(Action::Copy(_)), 0)));
    assert!(matches!((&note.action, note.output), (Some(Action::Mkfile(_)), -1)));
    for wrong in ["0s", "999ms", "-1h", "soon", "7d"] {
        assert!(message(&format!("FROM x\nRUN --cache-ttl={wrong} 1\n")).contains(wrong), "{wrong}");
    }
}
