//! Paths of stages for Windows.
//!
//! In operations they are as all others: with slashes, and without the drive, which must be `C:`. The image
//! config has its folder with backslashes. What else differs: no default `PATH`, the shell `cmd /S /C`, and
//! no scripts that name their interpreter.

use slipway_model::lexical::clean_text;
use slipway_model::quote::quoted;

use super::stage::StageState;
use crate::error::Failure;

const OS: &str = "windows";

impl StageState {
    pub(super) fn is_windows(&self) -> bool {
        self.platform.as_ref().is_some_and(|platform| platform.os == OS)
    }

    /// A path as the user wrote it, for operations. A slash at its end stays.
    pub(super) fn plain_path(&self, path: &str) -> Result<String, Failure> {
        if self.is_windows() { without_drive(path) } else { Ok(path.to_owned()) }
    }
}

fn without_drive(path: &str) -> Result<String, Failure> {
    let refused = |message: String| Err(Failure::new(message).context("removing drive letter"));
    let slashed = path.replace('\\', "/");
    if slashed.len() == 2 && slashed.ends_with(':') {
        return refused(format!("No relative path specified in {}", quoted(path)));
    }
    if slashed.starts_with("//") {
        return refused("UNC paths are not supported".to_owned());
    }
    let path = match slashed.split_once(':') {
        None => slashed.as_str(),
        Some(("c" | "C", path)) => path,
        Some(_) => return refused("The specified path is not on the system drive (C:)".to_owned()),
    };
    let cleaned = clean_text(path);
    Ok(if cleaned.len() > 1 && path.ends_with('/') { format!("{cleaned}/") } else { cleaned })
}

/// With backslashes, for an image config.
pub(super) fn with_backslashes(path: &str) -> String {
    path.replace('/', "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_and_backslashes_go() {
        for (written, plain) in [
            (r"C:\a\b", "/a/b"),
            (r"c:/a/", "/a/"),
            (r"C:\", "/"),
            ("C:a", "a"),
            (r"a\..\b", "b"),
            ("/a", "/a"),
            ("", "."),
        ] {
            assert_eq!(without_drive(written).unwrap(), plain, "{written}");
        }
        for written in ["C:", r"D:\a", r"\\host\share", "//x"] {
            assert!(without_drive(written).is_err(), "{written}");
        }
    }
}
