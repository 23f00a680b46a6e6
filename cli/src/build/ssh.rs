//! SSH agents named on the command line: `default`, `ID`, `ID=SOCKET[,raw=true]`.

use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use slipway_session::provider::Agent;

use crate::error::Failure;

pub fn read(specs: &[String]) -> Result<HashMap<String, Agent>, Failure> {
    let mut agents = HashMap::new();
    for spec in specs {
        let (id, agent) = read_one(spec)?;
        if agents.insert(id.clone(), agent).is_some() {
            return Err(Failure::usage(format!("--ssh {spec:?}: {id} is named twice")));
        }
    }
    Ok(agents)
}

fn read_one(spec: &str) -> Result<(String, Agent), Failure> {
    let wrong = |reason: String| Failure::usage(format!("--ssh {spec:?}: {reason}"));
    let (id, value) = spec.split_once('=').unwrap_or((spec, ""));
    let (mut sockets, mut raw) = (Vec::new(), false);
    for field in value.split(',').filter(|field| !field.is_empty()) {
        match field.split_once('=') {
            Some(("raw", value)) => {
                raw = value.parse().map_err(|_| wrong(format!("raw is true or false, not {value:?}")))?;
            }
            _ => sockets.push(PathBuf::from(field)),
        }
    }
    let socket = match sockets.as_slice() {
        [socket] => socket.clone(),
        [] if raw => return Err(wrong("raw needs the path of a socket".into())),
        [] => match std::env::var_os("SSH_AUTH_SOCK") {
            Some(socket) if !socket.is_empty() => socket.into(),
            _ => return Err(wrong("SSH_AUTH_SOCK is not set: start an agent, or name its socket".into())),
        },
        _ => return Err(wrong("only one socket can be forwarded under one name".into())),
    };
    let found = std::fs::metadata(&socket)
        .map_err(|error| Failure::new(format!("--ssh {spec:?}: {}: {error}", socket.display())))?;
    if !found.file_type().is_socket() {
        let socket = socket.display();
        return Err(wrong(format!(
            "{socket} is not the socket of an agent: add keys to an agent with ssh-add and forward that"
        )));
    }
    let id = if id.is_empty() { "default" } else { id };
    Ok((id.to_owned(), Agent { socket, raw }))
}
