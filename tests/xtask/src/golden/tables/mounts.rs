//! `parser/runmount.json`: `RUN --mount`, before and after variables are expanded.

use super::{same, text};
use serde_json::{Value, json};
use slipway_frontend::dockerfile::instruction::{Command, Mount};
use slipway_frontend::dockerfile::shell::{EnvironmentList, Lexer};
use slipway_frontend::dockerfile::{Fault, parse};

pub(super) fn mounts(row: &Value) -> Result<(), String> {
    let environment: EnvironmentList = ["V=val"].iter().collect();
    let lexer = Lexer::new('\\');
    let mut expander = |word: &str| Ok::<_, Fault>(lexer.process_word(word, &environment)?.text);
    {
        let source = format!("FROM x\nRUN --mount={} true\n", text(row, "input").unwrap());
        let dockerfile = match parse(source.as_bytes()) {
            Ok(dockerfile) => dockerfile,
            Err(error) => return same("error", Some(error.to_string().as_str()), text(row, "error")),
        };
        same("error", None, text(row, "error"))?;
        let Command::Run(run) = &dockerfile.stages[0].instructions[0].command else {
            return Err("no RUN".to_owned());
        };
        match run.expand_mounts(&mut expander) {
            Err(error) => same("error", Some(error.to_string().as_str()), text(row, "expandError")),
            Ok(mounts) => {
                same("error", None, text(row, "expandError"))?;
                same("mounts", &Value::Array(mounts.iter().map(shown).collect()), &row["mounts"])
            }
        }
    }
}

fn shown(mount: &Mount) -> Value {
    json!({
        "Type": mount.kind.to_string(),
        "From": mount.from,
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "SizeLimit": mount.size_limit,
        "CacheID": mount.id,
        "CacheSharing": mount.sharing.map_or("", |sharing| sharing.as_str()),
        "Required": mount.required,
        "Env": mount.env,
        "Mode": mount.mode,
        "UID": mount.uid,
        "GID": mount.gid,
    })
}
