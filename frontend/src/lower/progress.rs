//! Names of steps: `[linux/amd64->arm64 build 2/7] RUN make`.

use slipway_model::Platform;

use super::state::Environment;

/// How far a stage is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) done: usize,
    /// 0: steps have no prefix.
    pub(super) total: usize,
    /// The current instruction comes from the base image.
    pub(super) is_trigger: bool,
}

impl Progress {
    /// Counts one step and names it. `platform` is given where names show it; the environment of the
    /// stage then tells what it builds for.
    pub(super) fn name(
        &mut self,
        stage: &str,
        text: &str,
        platform: Option<&Platform>,
        environment: &Environment,
    ) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        let mut name = String::from("[");
        if let Some(platform) = platform {
            name.push_str(&format_all(platform));
            name.push_str(&cross_target(platform, environment));
            name.push(' ');
        }
        if !stage.is_empty() {
            name.push_str(stage);
            name.push(' ');
        }
        self.done += 1;
        let width = self.total.to_string().len();
        name.push_str(&format!("{:width$}/{}] ", self.done, self.total));
        if self.is_trigger {
            name.push_str("ONBUILD ");
        }
        name.push_str(text);
        name
    }
}

/// `os[(version+feature…)]/architecture[/variant]`.
pub(crate) fn format_all(platform: &Platform) -> String {
    if platform.os_version.is_empty() && platform.os_features.is_empty() {
        return platform.slug();
    }
    let options = std::iter::once(&platform.os_version).chain(&platform.os_features);
    let options: Vec<&str> = options.map(String::as_str).collect();
    Platform { os: format!("{}({})", platform.os, options.join("+")), ..platform.clone() }.slug()
}

/// `->arm64` where the `TARGET…` arguments of the stage name something else than it runs on.
fn cross_target(base: &Platform, environment: &Environment) -> String {
    let Some(mut target) = target_of(environment) else { return String::new() };
    if target.os.is_empty() {
        target.os.clone_from(&base.os);
    }
    if target.architecture.is_empty() {
        target.architecture.clone_from(&base.architecture);
    }
    let target = target.normalized();
    if target.os != base.os {
        return format!("->{}", format_all(&target));
    }
    if target.architecture == base.architecture {
        return String::new();
    }
    match target.variant.as_str() {
        "" => format!("->{}", target.architecture),
        variant => format!("->{}/{variant}", target.architecture),
    }
}

fn target_of(environment: &Environment) -> Option<Platform> {
    let parsed = environment.value("TARGETPLATFORM").and_then(|text| text.parse().ok());
    if parsed.is_some() {
        return parsed;
    }
    let part = |key| environment.value(key);
    let (os, architecture, variant) = (part("TARGETOS"), part("TARGETARCH"), part("TARGETVARIANT"));
    if os.is_none() && architecture.is_none() && variant.is_none() {
        return None;
    }
    Some(Platform::new(os.unwrap_or_default(), architecture.unwrap_or_default(), variant.unwrap_or_default()))
}
