//! `parser/{chmod,chown,expose,healthcheck,duration}.json`: values of flags and arguments.

mod golden;

use golden::{rows, same, text, texts};
use serde_json::{Value, json};
use slipway_frontend::dockerfile::instruction::{Chmod, Command, Owner, Ownership, PortWord};
use slipway_frontend::dockerfile::{parse, parse_duration};

#[test]
fn modes_read_as_in_the_reference() {
    rows("chmod.json", |row| {
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
    });
}

#[test]
fn owners_read_as_in_the_reference() {
    let shown = |owner: &Owner| match owner {
        Owner::Id(id) => json!({"name": "", "uid": id}),
        Owner::Name(name) => json!({ "name": name }),
    };
    rows("chown.json", |row| {
        let ownership = Ownership::parse(text(row, "input").unwrap());
        same("user", shown(&ownership.user), row["user"].clone())?;
        same("group", ownership.group.as_ref().map_or(Value::Null, shown), row["group"].clone())
    });
}

#[test]
fn ports_read_as_in_the_reference() {
    rows("expose.json", |row| match PortWord::parse(text(row, "input").unwrap()) {
        Ok(word) => same("ports", word.ports, texts(row, "ports")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    });
}

#[test]
fn health_checks_read_as_in_the_reference() {
    rows("healthcheck.json", |row| {
        let source = format!("FROM x\nHEALTHCHECK {}\n", text(row, "input").unwrap());
        match parse(source.as_bytes()) {
            Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
            Ok(dockerfile) => {
                let Command::HealthCheck(check) = &dockerfile.stages[0].instructions[0].command else {
                    panic!("no HEALTHCHECK")
                };
                same("health", serde_json::to_value(&check.config).unwrap(), row["health"].clone())
            }
        }
    });
}

#[test]
fn durations_read_as_in_the_reference() {
    rows("duration.json", |row| match parse_duration(text(row, "input").unwrap()) {
        Ok(duration) => same("nanoseconds", Some(duration.to_string().as_str()), text(row, "nanoseconds")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    });
}
