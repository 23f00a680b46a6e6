//! `frontend.subrequests.describe`: which requests there are, as the reference lists them. It leaves
//! out the younger ones, and clients compare.

use serde_json::{Value, json};

use super::json::pretty;
use super::{answer_of, table};
use crate::build::FrontendResult;
use crate::error::Failure;

const REQUESTS: [(&str, &str); 3] = [
    ("frontend.outline", "List all parameters current build target supports"),
    ("frontend.targets", "List all targets current build supports"),
    ("frontend.subrequests.describe", "List available subrequest types"),
];

pub(super) fn describe() -> Result<FrontendResult, Failure> {
    let listed: Vec<Value> = REQUESTS.iter().map(|(name, text)| request(name, text)).collect();
    let mut text = "NAME\tVERSION\tDESCRIPTION\n".to_owned();
    for (name, description) in REQUESTS {
        let name = name.trim_start_matches("frontend.");
        text.push_str(&format!("{name}\t1.0.0\t{description}\n"));
    }
    Ok(answer_of([
        ("result.json", pretty(&listed.into())?),
        ("result.txt", table::aligned(&text, 1)),
        ("version", "1.0.0".to_owned()),
    ]))
}

fn request(name: &str, description: &str) -> Value {
    let options = match name {
        "frontend.outline" => json!([{"name": "target", "description": "Target build stage"}]),
        "frontend.targets" => json!([]),
        _ => Value::Null,
    };
    json!({
        "name": name,
        "version": "1.0.0",
        "type": "rpc",
        "description": description,
        "opts": options,
        "inputs": null,
        "metadata": [
            {"name": "result.json", "description": ""},
            {"name": "result.txt", "description": ""},
        ],
        "refs": null,
    })
}
