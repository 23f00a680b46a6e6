//! Whether a result is for the platforms that were asked for. One that is not is exported all the same, with a
//! warning: frontends may know better, and people should hear of it before they run the image.

use std::collections::BTreeSet;

use slipway_model::Platform;
use slipway_worker::Value;

use super::result::BuildResult;

/// What to warn of. `wanted` is the request's `platform`, a list with commas; without it, the host's is wanted.
pub(crate) fn platform_warnings(wanted: Option<&str>, result: &BuildResult) -> Vec<String> {
    if has_no_trees(result) {
        return Vec::new();
    }
    let host = Platform::host().to_string();
    let names: Vec<&str> = wanted.unwrap_or(&host).split(',').collect();
    let (mut asked, mut warnings) = (BTreeSet::new(), Vec::new());
    for name in &names {
        match name.parse::<Platform>() {
            Ok(platform) if !asked.insert(text(&platform)) => {
                warnings.push(format!("Duplicate platform result requested {name:?}"));
            }
            Ok(_) => {}
            Err(error) => warnings.push(format!("Invalid platform result requested {name:?}: {error}")),
        }
    }
    if !warnings.is_empty() {
        return warnings;
    }
    mismatch(&asked, result).into_iter().collect()
}

fn mismatch(asked: &BTreeSet<String>, result: &BuildResult) -> Option<String> {
    let made: BTreeSet<String> = result.outputs.iter().map(|output| text(&output.platform)).collect();
    if let (Some(asked), Some(output), 1, 1) =
        (asked.first(), result.outputs.first(), asked.len(), result.outputs.len())
    {
        let made = output.platform.normalized();
        // Whoever names no version of the system takes any.
        let any_version = Platform { os_version: String::new(), ..made.clone() };
        let matches = *asked == text(&made) || *asked == text(&any_version);
        return (!matches).then(|| {
            format!("Requested platform {asked:?} does not match result platform {:?}", text(&made))
        });
    }
    if !result.multi_platform && asked.len() > 1 {
        return Some("Multiple platforms requested but result is not multi-platform".into());
    }
    (*asked != made).then(|| {
        let list = |platforms: &BTreeSet<String>| platforms.iter().cloned().collect::<Vec<_>>().join(",");
        format!("Requested platforms {} do not match result platforms {}", list(asked), list(&made))
    })
}

/// What a frontend answers to a question is for no platform.
fn has_no_trees(result: &BuildResult) -> bool {
    let is_scratch = result.outputs.iter().all(|output| matches!(output.value, Value::Scratch));
    !result.multi_platform && is_scratch && !result.metadata.contains_key("refs.platforms")
}

/// With the version of the system, where there is one: `windows(10.0)/amd64`.
fn text(platform: &Platform) -> String {
    let platform = platform.normalized();
    let version = &platform.os_version;
    let os = if version.is_empty() { platform.os.clone() } else { format!("{}({version})", platform.os) };
    Platform { os, ..platform }.slug()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::result::PlatformOutput;

    fn result(platforms: &[&str], multi_platform: bool) -> BuildResult {
        let output = |name: &&str| PlatformOutput {
            id: (*name).to_owned(),
            platform: name.parse().unwrap(),
            value: Value::Scratch,
            keys: Vec::new(),
            config: bytes::Bytes::new(),
            base_config: None,
            reference: None,
            attestations: Vec::new(),
            scans: Default::default(),
        };
        let metadata = [("refs.platforms".to_owned(), bytes::Bytes::new())].into();
        BuildResult { outputs: platforms.iter().map(output).collect(), multi_platform, metadata }
    }

    #[test]
    fn a_result_for_other_platforms_than_asked_for_is_warned_of() {
        let warned =
            |wanted: &str, made: &[&str], multi| platform_warnings(Some(wanted), &result(made, multi));
        let none: [&str; 0] = [];
        assert_eq!(warned("linux/amd64", &["linux/amd64"], false), none);
        assert_eq!(warned("linux/arm64", &["linux/arm64/v8"], false), none);
        assert_eq!(warned("windows/amd64", &["windows(10.0)/amd64"], false), none);
        assert_eq!(warned("linux/arm64,linux/amd64", &["linux/amd64", "linux/arm64"], true), none);
        for (wanted, made, multi, expected) in [
            ("linux/arm64", &["linux/amd64"][..], false, "does not match result platform"),
            ("linux/arm64,linux/amd64", &["linux/amd64"], false, "result is not multi-platform"),
            (
                "linux/s390x,linux/amd64",
                &["linux/amd64", "linux/arm64"],
                true,
                "linux/amd64,linux/s390x do not",
            ),
            ("linux/amd64,linux/amd64", &["linux/amd64"], false, "Duplicate platform"),
            ("linux/amd64/v2/x", &["linux/amd64"], false, "Invalid platform"),
        ] {
            let warnings = warned(wanted, made, multi);
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{wanted}: {warnings:?}");
        }
    }
}
