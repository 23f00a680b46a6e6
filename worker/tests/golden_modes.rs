//! Symbolic modes, applied, against those of the reference.

use std::path::PathBuf;

use serde_json::Value;
use slipway_worker::ops::file::ModeChange;

#[test]
fn modes_apply_as_recorded() {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("parser/chmod.json")) else {
        println!("modes: skipped, no golden data at {}", folder.display());
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut total, mut failed) = (0, Vec::new());
    for row in &rows {
        for (sample, expected) in row["applied"].as_object().into_iter().flatten() {
            total += 1;
            let (kind, mode) = sample.split_once(':').unwrap();
            let change = ModeChange::parse(row["modeStr"].as_str().unwrap()).unwrap();
            let found =
                text_of(change.apply(u32::from_str_radix(mode, 8).unwrap(), kind == "dir"), kind == "dir");
            if found != expected.as_str().unwrap() {
                failed.push(format!("{row}: {sample}: {found}"));
            }
        }
    }
    println!("modes: {} of {total}", total - failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// As Go prints a mode: letters for directory and special bits, then nine for permissions.
fn text_of(mode: u32, directory: bool) -> String {
    let special = [(0o4000, 'u'), (0o2000, 'g'), (0o1000, 't')];
    let mut text: String = directory.then_some('d').into_iter().collect();
    text.extend(special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, letter)| letter));
    if text.is_empty() {
        text.push('-');
    }
    text.extend(
        "rwxrwxrwx"
            .chars()
            .enumerate()
            .map(|(at, letter)| if mode >> (8 - at) & 1 == 1 { letter } else { '-' }),
    );
    text
}
