//! Who we are, in the form that BuildKit's drivers read: four words, the third of which is the version.

use std::sync::LazyLock;

use slipway_daemon::version::{PACKAGE, REVISION, VERSION};

/// What follows the program's name in `buildkitd --version`.
pub fn words() -> &'static str {
    static WORDS: LazyLock<String> = LazyLock::new(|| format!("{PACKAGE} {VERSION} {REVISION}"));
    &WORDS
}
