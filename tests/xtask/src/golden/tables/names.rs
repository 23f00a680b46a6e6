//! `parser/imageref.json` and `parser/platform.json`: what names mean to the reference.

use super::{same, text};
use serde_json::Value;
use slipway_model::platform::Matcher;
use slipway_model::{Platform, Reference};

pub(super) fn image(row: &Value) -> Result<(), String> {
    {
        let input = text(row, "input").unwrap();
        let reference: Reference = match input.parse() {
            Ok(reference) => reference,
            Err(error) => {
                return same("error", Some(format!("{error}")), text(row, "error").map(str::to_owned));
            }
        };
        same("error", None, text(row, "error").map(str::to_owned))?;
        same("normalized", Some(reference.to_string()), text(row, "normalized").map(str::to_owned))?;
        same("domain", Some(reference.domain().to_owned()), text(row, "domain").map(str::to_owned))?;
        same("path", Some(reference.path().to_owned()), text(row, "path").map(str::to_owned))?;
        same("familiar", Some(reference.familiar()), text(row, "familiar").map(str::to_owned))?;
        same("tagged", Some(reference.or_latest().to_string()), text(row, "tagNameOnly").map(str::to_owned))
    }
}

pub(super) fn platform(row: &Value) -> Result<(), String> {
    {
        let input = text(row, "input").unwrap();
        let platform: Platform = match input.parse() {
            Ok(platform) => platform,
            Err(error) => {
                return same("error", Some(format!("{error}")), text(row, "error").map(str::to_owned));
            }
        };
        same("error", None, text(row, "error").map(str::to_owned))?;
        same("os", Some(platform.os.clone()), text(row, "os").map(str::to_owned))?;
        same("arch", Some(platform.architecture.clone()), text(row, "arch").map(str::to_owned))?;
        same("variant", Some(platform.variant.clone()), text(row, "variant").map(str::to_owned))?;
        same("osversion", Some(platform.os_version.clone()), text(row, "osversion").map(str::to_owned))?;
        same("format", Some(platform.slug()), text(row, "format").map(str::to_owned))?;
        same(
            "normalized",
            Some(platform.normalized().slug()),
            text(row, "normalizedFormat").map(str::to_owned),
        )?;
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
    }
}
