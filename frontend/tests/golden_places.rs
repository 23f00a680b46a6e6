//! `dockerfiles/*/llb.json`: the lines that operations name are lines of an instruction, and the
//! commands they show are its text.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test

mod golden;

use serde_json::Value;
use slipway_frontend::dockerfile::{Range, parse};

#[test]
fn operations_stand_where_instructions_do() {
    let Some(folder) = golden::folder() else { return };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for case in std::fs::read_dir(folder.join("dockerfiles")).unwrap() {
        let case = case.unwrap().path();
        // Triggers show what an image carries, not what the file says.
        if case.to_string_lossy().contains("onbuild") {
            continue;
        }
        let Ok(operations) = std::fs::read_to_string(case.join("llb.json")) else { continue };
        let Ok(source) = std::fs::read(case.join("Dockerfile")) else { continue };
        let Ok(dockerfile) = parse(&source) else { continue };
        let operations: Vec<Value> = serde_json::from_str(&operations).unwrap();
        let mut places: Vec<Vec<Range>> = Vec::new();
        let mut originals: Vec<String> = Vec::new();
        for stage in &dockerfile.stages {
            places.push(stage.ranges.clone());
            places.extend(stage.instructions.iter().map(|instruction| instruction.ranges.clone()));
            originals.push(stage.original.clone());
            originals.extend(stage.instructions.iter().map(|instruction| instruction.original.clone()));
        }
        for operation in &operations {
            for location in operation["locations"].as_array().into_iter().flatten() {
                let ranges: Vec<Range> = location["ranges"].as_array().unwrap().iter().map(range).collect();
                compared += 1;
                if !ranges.is_empty() && !places.contains(&ranges) {
                    wrong.push(format!("{}: {ranges:?}", case.display()));
                }
            }
            let command = operation["metadata"]["description"]["com.docker.dockerfile.v1.command"].as_str();
            if let Some(command) = command.filter(|command| !command.is_empty())
                && !originals.iter().any(|original| original == command)
            {
                wrong.push(format!("{}: {command:?}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{compared} places");
}

fn range(range: &Value) -> Range {
    let line = u32::try_from(range[0][0].as_u64().unwrap()).unwrap();
    Range::line(line)
}
