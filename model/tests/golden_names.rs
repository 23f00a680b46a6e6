//! `parser/imageref.json` and `parser/platform.json`: what names mean to the reference.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test: both end in its report

use std::path::PathBuf;

use serde_json::Value;
use slipway_model::platform::Matcher;
use slipway_model::{Platform, Reference};

#[test]
fn references_read_as_in_the_reference() {
    rows("imageref.json", |row| {
        let input = text(row, "input").unwrap();
        let reference: Reference = match input.parse() {
            Ok(reference) => reference,
            Err(error) => return same("error", Some(format!("{error}")), row, "error"),
        };
        same("error", None, row, "error")?;
        same("normalized", Some(reference.to_string()), row, "normalized")?;
        same("domain", Some(reference.domain().to_owned()), row, "domain")?;
        same("path", Some(reference.path().to_owned()), row, "path")?;
        same("familiar", Some(reference.familiar()), row, "familiar")?;
        same("tagged", Some(reference.or_latest().to_string()), row, "tagNameOnly")
    });
}

#[test]
fn platforms_read_as_in_the_reference() {
    rows("platform.json", |row| {
        let input = text(row, "input").unwrap();
        let platform: Platform = match input.parse() {
            Ok(platform) => platform,
            Err(error) => return same("error", Some(format!("{error}")), row, "error"),
        };
        same("error", None, row, "error")?;
        same("os", Some(platform.os.clone()), row, "os")?;
        same("arch", Some(platform.architecture.clone()), row, "arch")?;
        same("variant", Some(platform.variant.clone()), row, "variant")?;
        same("osversion", Some(platform.os_version.clone()), row, "osversion")?;
        same("format", Some(platform.slug()), row, "format")?;
        same("normalized", Some(platform.normalized().slug()), row, "normalizedFormat")?;
        for (key, wanted) in [
            ("defaultEnvMatchLinuxAmd64", "linux/amd64"),
            ("onlyMatchesArm64", "linux/arm64"),
            ("onlyMatchesArmV7", "linux/arm/v7"),
        ] {
            let other: Platform = wanted.parse().unwrap();
            let (wanted, offered) =
                if key == "defaultEnvMatchLinuxAmd64" { (&other, &platform) } else { (&platform, &other) };
            let ours = Matcher::only(wanted).matches(offered);
            if row[key].as_bool() != Some(ours) {
                return Err(format!("{key}: ours {ours}"));
            }
        }
        Ok(())
    });
}

fn rows(name: &str, check: impl Fn(&Value) -> Result<(), String>) {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(rows) = std::fs::read_to_string(folder.join("parser").join(name)) else {
        println!("skipped: no recorded answers at {}", folder.display());
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let wrong: Vec<String> =
        rows.iter().filter_map(|row| check(row).err().map(|error| format!("{row}\n  {error}"))).collect();
    assert!(wrong.is_empty(), "{} of {} rows differ:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

fn same(what: &str, ours: Option<String>, row: &Value, key: &str) -> Result<(), String> {
    let theirs = text(row, key);
    if ours.as_deref() == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, theirs {theirs:?}")) }
}
