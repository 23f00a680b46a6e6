//! `parser/{chmod,chown,expose,healthcheck,duration}.json`: values of flags and arguments.

use super::{same, text, texts};
use serde_json::{Value, json};
use slipway_frontend::dockerfile::instruction::{Chmod, Command, Owner, Ownership, PortWord};
use slipway_frontend::dockerfile::{parse, parse_duration};

pub(super) fn chmod(row: &Value) -> Result<(), String> {
    {
        // An empty value is no value; nobody parses it.
        if text(row, "result") == Some("unset") {
            return Ok(());
        }
        match Chmod::parse(text(row, "input").unwrap()) {
            Ok(Chmod::Absolute(mode)) => {
                same("mode", Some(format!("{mode:04o}").as_str()), text(row, "mode"))
            }
            Ok(Chmod::Symbolic(_)) => same("symbolic", None, text(row, "error").or(text(row, "mode"))),
            Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
        }
    }
}

pub(super) fn owner(row: &Value) -> Result<(), String> {
    let shown = |owner: &Owner| match owner {
        Owner::Id(id) => json!({"name": "", "uid": id}),
        Owner::Name(name) => json!({ "name": name }),
    };
    {
        let ownership = Ownership::parse(text(row, "input").unwrap());
        same("user", shown(&ownership.user), row["user"].clone())?;
        same("group", ownership.group.as_ref().map_or(Value::Null, shown), row["group"].clone())
    }
}

pub(super) fn ports(row: &Value) -> Result<(), String> {
    match PortWord::parse(text(row, "input").unwrap()).and_then(|word| word.ports()) {
        Ok(ports) => same("ports", ports, texts(row, "ports")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    }
}

pub(super) fn health_check(row: &Value) -> Result<(), String> {
    {
        let source = format!("FROM x\nHEALTHCHECK {}\n", text(row, "input").unwrap());
        match parse(source.as_bytes()) {
            Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
            Ok(dockerfile) => {
                let Command::HealthCheck(check) = &dockerfile.stages[0].instructions[0].command else {
                    return Err("no HEALTHCHECK".to_owned());
                };
                same("health", serde_json::to_value(&check.config).unwrap(), row["health"].clone())
            }
        }
    }
}

pub(super) fn duration(row: &Value) -> Result<(), String> {
    match parse_duration(text(row, "input").unwrap()) {
        Ok(duration) => same("nanoseconds", Some(duration.to_string().as_str()), text(row, "nanoseconds")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    }
}
