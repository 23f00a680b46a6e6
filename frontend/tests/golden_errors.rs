//! `dockerfiles/*/error.json`: texts and places of what the parser refuses, and that it takes the rest.

mod golden;

use golden::same;
use serde_json::Value;
use slipway_frontend::dockerfile::{Range, parse};

#[test]
fn files_fail_as_in_the_reference() {
    let Some(folder) = golden::folder() else { return };
    let mut wrong = Vec::new();
    let (mut files, mut refused) = (0, 0);
    for case in std::fs::read_dir(folder.join("dockerfiles")).unwrap() {
        let case = case.unwrap().path();
        let Ok(source) = std::fs::read(case.join("Dockerfile")) else { continue };
        files += 1;
        let expected = std::fs::read_to_string(case.join("error.json"))
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let Err(error) = parse(&source) else { continue };
        refused += 1;
        let ranges = expected["sources"][0]["ranges"].clone();
        let outcome = same("message", Some(error.to_string().as_str()), expected["message"].as_str())
            .and_then(|()| same("ranges", shown(&error.ranges), ranges));
        wrong.extend(outcome.err().map(|outcome| format!("{}: {outcome}", case.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files == 0 || refused > 0, "nothing was refused");
}

/// What the reference's parser refuses, ours must: those errors are marked by their text.
#[test]
fn nothing_that_the_reference_refuses_is_taken() {
    let Some(folder) = golden::folder() else { return };
    for case in std::fs::read_dir(folder.join("dockerfiles")).unwrap() {
        let case = case.unwrap().path();
        let Ok(expected) = std::fs::read_to_string(case.join("error.json")) else { continue };
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let message = expected["message"].as_str().unwrap();
        let of_parser = ["dockerfile parse error", "Syntax error", "unterminated heredoc", "file with no"];
        if of_parser.iter().any(|start| message.starts_with(start)) {
            let source = std::fs::read(case.join("Dockerfile")).unwrap();
            assert!(parse(&source).is_err(), "{}: {message}", case.display());
        }
    }
}

fn shown(ranges: &[Range]) -> Value {
    let one = |range: &Range| {
        serde_json::json!([[range.start.line, range.start.character], [range.end.line, range.end.character]])
    };
    Value::Array(ranges.iter().map(one).collect())
}
