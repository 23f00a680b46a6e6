//! Secrets named on the command line: `id=NAME[,src=FILE|,env=VARIABLE]`.

use std::collections::HashMap;

use slipway_model::Redacted;

use super::outputs::fields;
use crate::error::Failure;

/// The reference refuses larger ones too.
const LARGEST: usize = 500 << 10;

pub fn read(specs: &[String]) -> Result<HashMap<String, Redacted<Vec<u8>>>, Failure> {
    specs.iter().map(|spec| read_one(spec)).collect()
}

fn read_one(spec: &str) -> Result<(String, Redacted<Vec<u8>>), Failure> {
    let wrong = |reason: &str| Failure::usage(format!("--secret {spec:?}: {reason}"));
    let fields = fields(spec).map_err(|field| wrong(&format!("{field:?} is not KEY=VALUE")))?;
    let (mut id, mut file, mut variable) = (None, None, None);
    for (key, value) in fields {
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" if value == "file" || value == "env" => {}
            _ => return Err(wrong(&format!("{key} is not a field: use id, src, env"))),
        }
    }
    let id = id.ok_or_else(|| wrong("it has no id"))?;
    let bytes = match (file, variable) {
        (Some(file), _) => std::fs::read(&file)
            .map_err(|error| Failure::new(format!("secret {id}: cannot read {file}: {error}")))?,
        (None, Some(name)) => from_environment(&id, &name)?,
        // As the reference does: a variable of that name, else a file of that name.
        (None, None) => match std::env::var(&id) {
            Ok(value) => value.into_bytes(),
            Err(_) => std::fs::read(&id).map_err(|error| {
                Failure::new(format!("secret {id}: neither a variable nor a file: {error}"))
            })?,
        },
    };
    if bytes.len() > LARGEST {
        return Err(Failure::new(format!("secret {id} is larger than 500 KiB")));
    }
    Ok((id, Redacted::new(bytes)))
}

fn from_environment(id: &str, name: &str) -> Result<Vec<u8>, Failure> {
    std::env::var(name)
        .map(String::into_bytes)
        .map_err(|_| Failure::new(format!("secret {id}: the environment variable {name} is not set")))
}
