//! Tables that belong to other rooms: cache keys to the worker, content digests to the store. Their tests
//! compare them; here they are run, and their own counts repeated.

use std::path::Path;

use anyhow::Context;
use slipway_tests::command::cargo;

const TESTS: [(&str, &str, &str); 2] = [
    ("cachekeys", "cachekeys.json", "golden_cachekeys"),
    ("contenthash", "contenthash.json", "golden_content_hash"),
];

/// `table: N of M`, for each table that is in the folder.
pub(super) fn run(folder: &Path) -> anyhow::Result<Vec<String>> {
    let folder = folder.canonicalize()?;
    let mut lines = Vec::new();
    for (name, file, test) in TESTS {
        if !folder.join(file).exists() {
            continue;
        }
        let output = cargo()
            // Of a package alone, cargo would build all dependencies again, with fewer features.
            .args(["test", "--quiet", "--workspace", "--test", test, "--", "--nocapture"])
            .env("SLIPWAY_GOLDEN", &folder)
            .output()
            .with_context(|| format!("the test of {name}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let prefix = format!("{name}: ");
        let found = text.lines().find(|line| line.starts_with(&prefix));
        lines.push(found.map_or_else(|| format!("{name}: the test did not run"), str::to_owned));
    }
    Ok(lines)
}
