//! The binary under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::command::{cargo, run};

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Makes `binary` the one under test, unless one was asked for already.
pub fn use_binary(binary: PathBuf) {
    BINARY.get_or_init(|| binary);
}

/// `$SLIPWAY_BIN`, or the one that cargo built beside this test; built once if it is not there.
pub fn slipway() -> &'static Path {
    BINARY.get_or_init(|| match std::env::var_os("SLIPWAY_BIN") {
        Some(path) => path.into(),
        None => beside_this_test(),
    })
}

/// `target/PROFILE`: programs are in it, tests in its folder `deps`.
pub(crate) fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own path");
    let folder = own.parent().expect("a program is in a folder");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("deps is in a folder") } else { folder };
    folder.to_owned()
}

fn beside_this_test() -> PathBuf {
    let binary = profile_folder().join("slipway");
    if !binary.exists() {
        let mut build = cargo();
        run(build.args(["build", "--package", "slipway"])).expect("slipway builds");
    }
    binary
}
