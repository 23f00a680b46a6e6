//! What the user's environment says about places.

use std::path::PathBuf;

/// The folder that `variable` names, else `below_home` in the user's home.
pub fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set =
        |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| set("HOME").map(|home| home.join(below_home)))
}
