//! `parser/heredoc-word.json` and `parser/heredoc-dockerfile.json`.

use super::{same, text};
use serde_json::{Value, json};
use slipway_frontend::dockerfile::heredoc::{self, Heredoc};
use slipway_frontend::dockerfile::parse;

pub(super) fn word(row: &Value) -> Result<(), String> {
    match heredoc::parse(text(row, "input").unwrap()) {
        Ok(heredoc) => same("heredoc", heredoc.as_ref().map_or(Value::Null, shown), row["heredoc"].clone()),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    }
}

pub(super) fn body(row: &Value) -> Result<(), String> {
    {
        let source = format!("FROM x\n{}\n", text(row, "input").unwrap());
        match parse(source.as_bytes()) {
            Ok(dockerfile) => {
                let instruction = &dockerfile.stages[0].instructions[0];
                let heredocs = instruction.heredocs.iter().map(shown).collect();
                let expected = row["heredocs"].as_array().cloned().unwrap_or_default();
                same("heredocs", Value::Array(heredocs), Value::Array(expected))?;
                same("escape", Some(dockerfile.escape.to_string().as_str()), text(row, "escape"))
            }
            Err(error) => {
                let theirs = text(row, "error").or(text(row, "instructionError"));
                same("error", Some(error.to_string().as_str()), theirs)
            }
        }
    }
}

fn shown(heredoc: &Heredoc) -> Value {
    json!({
        "Name": heredoc.name,
        "FileDescriptor": heredoc.file_descriptor,
        "Expand": heredoc.expand,
        "Chomp": heredoc.chomp,
        "Content": heredoc.content,
    })
}
