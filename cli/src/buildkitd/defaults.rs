//! Where things are when nobody says so: the reference's places, for root and for other users.

use std::path::PathBuf;

use crate::environment::folder;

pub fn config_file() -> PathBuf {
    let folder = if is_root() { None } else { folder("XDG_CONFIG_HOME", ".config") };
    folder.map_or_else(|| "/etc/buildkit".into(), |folder| folder.join("buildkit")).join("buildkitd.toml")
}

pub fn root() -> PathBuf {
    let folder = if is_root() { None } else { folder("XDG_DATA_HOME", ".local/share") };
    folder.map_or_else(|| "/var/lib/buildkit".into(), |folder| folder.join("buildkit"))
}

/// Where `buildkitd` listens and `buildctl` looks.
pub fn address() -> String {
    let runtime = std::env::var("XDG_RUNTIME_DIR").ok().filter(|folder| !folder.is_empty() && !is_root());
    let folder = runtime.unwrap_or_else(|| "/run".into());
    format!("unix://{folder}/buildkit/buildkitd.sock")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
