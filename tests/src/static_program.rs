//! Programs for images that hold nothing else.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::{cargo, run, target};

/// Builds the binary `name` of `package` so that it needs no library, in `profile` (`dev` or `release`), without
/// symbols. Cargo knows when there is nothing to do.
pub fn static_program(package: &str, name: &str, profile: &str) -> Result<PathBuf> {
    let folder = if profile == "dev" { "debug" } else { profile };
    let output = target().join(folder).join("static");
    fs::create_dir_all(&output)?;
    // Tests are processes of their own: they take turns.
    let lock = File::create(output.join("lock"))?;
    lock.lock()?;
    let mut build = cargo();
    build.args(["rustc", "--quiet", "--package", package, "--bin", name]);
    // Only the program itself is linked differently: what it is made of is shared with the rest.
    build.args(["--profile", profile, "--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    run(&mut build)?;
    let (built, kept) = (target().join(folder).join(name), output.join(name));
    fs::copy(&built, &kept).with_context(|| built.display().to_string())?;
    Ok(kept)
}
