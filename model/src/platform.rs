//! Platforms: operating system, architecture, variant; parsing and matching as containerd does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_proto::pb;

use crate::quote::quoted;

/// For example `linux/amd64`, `linux/arm/v7`. Field names are those of the OCI image-spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl From<&Platform> for pb::Platform {
    fn from(platform: &Platform) -> Self {
        let Platform { architecture, os, os_version, os_features, variant } = platform.clone();
        Self { architecture, os, variant, os_version, os_features }
    }
}

/// As it was written; not normalised.
impl From<&pb::Platform> for Platform {
    fn from(platform: &pb::Platform) -> Self {
        let pb::Platform { architecture, os, variant, os_version, os_features } = platform.clone();
        Self { architecture, os, os_version, os_features, variant }
    }
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: invalid argument")]
pub struct PlatformError {
    pub text: String,
    /// Names the text, and its part that is wrong.
    pub reason: String,
}

impl Platform {
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        Self { os: os.into(), architecture: architecture.into(), variant: variant.into(), ..Self::default() }
    }

    /// The platform this program runs on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self::new("linux", architecture, if architecture == "arm" { "v7" } else { "" })
    }

    /// Canonical names: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`, …;
    /// operating system features are sorted.
    pub fn normalized(&self) -> Self {
        let (architecture, variant) = normalize_architecture(&self.architecture, &self.variant);
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Self { os: normalize_os(&self.os), architecture, variant, os_features, ..self.clone() }
    }

    /// `os/architecture[/variant]`.
    pub fn slug(&self) -> String {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if !self.variant.is_empty() {
            text.push('/');
            text.push_str(&self.variant);
        }
        text
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.slug())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// `linux/amd64`, `linux`, `arm64`, `linux/arm/v7`, `windows(10.0.1)/amd64`; missing parts are the host's.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = |reason: String| PlatformError { text: text.into(), reason };
        let whole = |problem: &str| error(format!("{}: {problem}", quoted(text)));
        if text.contains('*') {
            return Err(whole("wildcards not yet supported"));
        }
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let (os, os_version, os_features) = parse_os(parts[0]).ok_or_else(|| {
            let part = parts[0];
            error(format!(
                "{} is an invalid OS component of {}: OSAndVersion specifier component must match {OS_PATTERN:?}",
                quoted(part),
                quoted(text)
            ))
        })?;
        if let Some(part) = parts[1..].iter().find(|part| !is_component(part, ".")) {
            return Err(error(format!(
                "{} is an invalid component of {}: platform specifier component must match {COMPONENT_PATTERN:?}",
                quoted(part),
                quoted(text)
            )));
        }
        let host = Self::host();
        let (os, architecture, variant) = match parts[..] {
            [one] => {
                let os = normalize_os(&os);
                if is_known_os(&os) {
                    (os, host.architecture, host.variant)
                } else {
                    let (architecture, variant) = normalize_architecture(one, "");
                    if !is_known_architecture(&architecture) {
                        return Err(whole("unknown operating system or architecture"));
                    }
                    (host.os, architecture, default_variant(&variant))
                }
            }
            [_, architecture] => {
                let (architecture, variant) = normalize_architecture(architecture, "");
                (normalize_os(&os), architecture, default_variant(&variant))
            }
            [_, architecture, variant] => {
                let (architecture, variant) = normalize_architecture(architecture, variant);
                let v8 = architecture == "arm64" && variant.is_empty();
                (normalize_os(&os), architecture, if v8 { "v8".to_owned() } else { variant })
            }
            _ => return Err(whole("cannot parse platform specifier")),
        };
        Ok(Self { os, architecture, variant, os_version, os_features })
    }
}

/// A parsed `arm` without a variant means v7: kept in one place because parsing is the only user.
fn default_variant(variant: &str) -> String {
    if variant == "v7" { String::new() } else { variant.to_owned() }
}

/// The patterns that messages show; [`parse_os`] and [`is_component`] are what they say.
const OS_PATTERN: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$";
const COMPONENT_PATTERN: &str = "^[A-Za-z0-9_.-]+$";

/// `os[(version[+feature]…)]`; version and features may be percent-encoded.
fn parse_os(text: &str) -> Option<(String, String, Vec<String>)> {
    let Some((os, rest)) = text.split_once('(') else {
        return is_component(text, "").then(|| (text.to_owned(), String::new(), Vec::new()));
    };
    let mut options = rest.strip_suffix(')')?.split('+');
    let version = options.next().unwrap_or_default();
    let features: Vec<&str> = options.collect();
    let fine = is_component(os, "")
        && (version.is_empty() || is_component(version, ".%"))
        && features.iter().all(|feature| is_component(feature, ".%"));
    let features = features.into_iter().map(decode).collect::<Option<_>>()?;
    fine.then_some((os.to_owned(), decode(version)?, features))
}

fn is_component(part: &str, more: &str) -> bool {
    let character =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-') || more.as_bytes().contains(&b);
    !part.is_empty() && part.bytes().all(character)
}

fn decode(text: &str) -> Option<String> {
    let (first, rest) = text.split_once('%').unwrap_or((text, ""));
    let mut bytes = first.as_bytes().to_vec();
    if text.contains('%') {
        for part in rest.split('%') {
            bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
            bytes.extend_from_slice(part.get(2..)?.as_bytes());
        }
    }
    String::from_utf8(bytes).ok()
}

fn normalize_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => "linux".into(),
        "macos" => "darwin".into(),
        other => other.into(),
    }
}

fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (a, v) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", if v == "v1" { "" } else { v }),
        ("aarch64" | "arm64", v) => (
            "arm64",
            match v {
                "8" | "v8" | "v8.0" => "",
                "9" | "9.0" | "v9.0" => "v9",
                other => other,
            },
        ),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (a, v) => (a, v),
    };
    (a.to_owned(), v.to_owned())
}

fn is_known_os(os: &str) -> bool {
    const KNOWN: [&str; 16] = [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
    ];
    KNOWN.contains(&os) || os == "zos"
}

fn is_known_architecture(architecture: &str) -> bool {
    const KNOWN: [&str; 24] = [
        "386",
        "amd64",
        "amd64p32",
        "arm",
        "armbe",
        "arm64",
        "arm64be",
        "loong64",
        "mips",
        "mipsle",
        "mips64",
        "mips64le",
        "mips64p32",
        "mips64p32le",
        "ppc",
        "ppc64",
        "ppc64le",
        "riscv",
        "riscv64",
        "s390",
        "s390x",
        "sparc",
        "sparc64",
        "wasm",
    ];
    KNOWN.contains(&architecture)
}

/// Which platforms serve a wanted one, best first.
pub struct Matcher {
    accepted: Vec<Platform>,
    /// What an offer may ask for.
    os_features: Vec<String>,
    /// Of Windows, whose containers run on their own version alone; empty if any will do.
    os_version: String,
}

impl Matcher {
    /// `wanted` and what it can run: lesser arm variants, arm on arm64, lesser amd64 levels.
    pub fn only(wanted: &Platform) -> Self {
        let wanted = wanted.normalized();
        let with = |architecture: &str, variant: &str| Platform {
            architecture: architecture.into(),
            variant: variant.into(),
            os: wanted.os.clone(),
            ..Platform::default()
        };
        let mut accepted = Vec::new();
        match wanted.architecture.as_str() {
            "amd64" => {
                accepted.push(with("amd64", &wanted.variant));
                for lesser in (2..level(&wanted.variant).unwrap_or(1)).rev() {
                    accepted.push(with("amd64", &format!("v{lesser}")));
                }
                accepted.push(with("amd64", ""));
                accepted.push(with("386", ""));
            }
            "arm64" => {
                accepted.extend(arm64_variants(&wanted.variant).iter().map(|variant| with("arm64", variant)));
                accepted.extend((5..=8).rev().map(|lesser| with("arm", &format!("v{lesser}"))));
            }
            "arm" => {
                accepted.push(with("arm", &wanted.variant));
                for lesser in (5..level(&wanted.variant).unwrap_or(5)).rev() {
                    accepted.push(with("arm", &format!("v{lesser}")));
                }
            }
            other => accepted.push(with(other, &wanted.variant)),
        }
        accepted.dedup();
        let os_version = if wanted.os == "windows" { wanted.os_version } else { String::new() };
        Self { accepted, os_features: wanted.os_features, os_version }
    }

    /// Lower is better; `None` does not run here.
    pub fn rank(&self, offered: &Platform) -> Option<usize> {
        let offered = offered.normalized();
        if !offered.os_features.iter().all(|feature| self.os_features.contains(feature)) {
            return None;
        }
        if !is_same_release(&self.os_version, &offered.os_version) {
            return None;
        }
        self.accepted.iter().position(|p| {
            p.os == offered.os && p.architecture == offered.architecture && p.variant == offered.variant
        })
    }

    pub fn matches(&self, offered: &Platform) -> bool {
        self.rank(offered).is_some()
    }
}

/// Whether major, minor and build are the same, as far as both say; what follows are updates.
fn is_same_release(wanted: &str, offered: &str) -> bool {
    wanted.is_empty() || offered.is_empty() || wanted.split('.').take(3).eq(offered.split('.').take(3))
}

/// `v7` is 7.
fn level(variant: &str) -> Option<u32> {
    variant.trim_start_matches('v').parse().ok()
}

/// 9.x can do all that 8.(x+5) can. Normalised: 8.0 is empty, 9.0 is `v9`.
fn arm64_variants(variant: &str) -> Vec<String> {
    let text = if variant.is_empty() { "8" } else { variant.trim_start_matches('v') };
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else { return Vec::new() };
    let generations = match (major, minor) {
        (8, 0..=9) => vec![(8, minor)],
        (9, 0..=7) => vec![(9, minor), (8, (minor + 5).min(9))],
        _ => Vec::new(),
    };
    let name = |major: u32, minor: u32| match (major, minor) {
        (8, 0) => String::new(),
        (major, 0) => format!("v{major}"),
        (major, minor) => format!("v{major}.{minor}"),
    };
    generations
        .into_iter()
        .flat_map(|(major, top)| (0..=top).rev().map(move |minor| name(major, minor)))
        .collect()
}
