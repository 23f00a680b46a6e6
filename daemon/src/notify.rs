//! Words to a service manager (`sd_notify`): ready, stopping. Without `NOTIFY_SOCKET` nobody listens.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub(crate) fn ready() {
    tell("READY=1\n");
}

pub(crate) fn stopping() {
    tell("STOPPING=1\n");
}

fn tell(words: &str) {
    let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, words) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

fn send(name: &str, words: &str) -> std::io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}
