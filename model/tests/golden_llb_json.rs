//! Operations as JSON, against what the reference prints for recorded definitions.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use slipway_model::llb::{json, pb};

#[test]
fn operations_are_written_as_recorded() {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(cases) = std::fs::read_dir(folder.join("dockerfiles")) else {
        println!("llb as json: skipped, no golden data at {}", folder.display());
        return;
    };
    let mut compared = 0;
    for case in cases {
        let Ok(text) = std::fs::read_to_string(case.unwrap().path().join("llb.json")) else { continue };
        let operations: Vec<Value> = serde_json::from_str(&text).unwrap();
        for recorded in operations {
            let raw = STANDARD.decode(recorded["raw"].as_str().unwrap()).unwrap();
            let op = pb::Op::decode(Bytes::from(raw)).unwrap();
            let written = json::operation(&op, json::Form::Go);
            assert_eq!(written, recorded["op"], "{}", serde_json::to_string_pretty(&written).unwrap());
            compared += 1;
        }
    }
    println!("llb as json: {compared} operations");
    assert!(compared > 0);
}
