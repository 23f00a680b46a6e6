//! Platforms: operating system, architecture, variant; parsing and matching as containerd does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {reason}: invalid argument")]
pub struct PlatformError {
    pub text: String,
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
        if text.contains('*') {
            return Err(error("wildcards not yet supported".into()));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (os, os_version, os_features) = parse_os(parts[0]).map_err(error)?;
        for part in &parts[1..] {
            check_component(part).map_err(error)?;
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
                        return Err(error("unknown operating system or architecture".into()));
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
                (normalize_os(&os), architecture, variant)
            }
            _ => return Err(error("cannot parse platform specifier".into())),
        };
        Ok(Self { os, architecture, variant, os_version, os_features })
    }
}

/// A parsed `arm` without a variant means v7: kept in one place because parsing is the only user.
fn default_variant(variant: &str) -> String {
    if variant == "v7" { String::new() } else { variant.to_owned() }
}

fn parse_os(text: &str) -> Result<(String, String, Vec<String>), String> {
    match text.split_once('(') {
        None => {
            check_component(text)?;
            Ok((text.into(), String::new(), Vec::new()))
        }
        Some((os, rest)) => {
            check_component(os)?;
            let inner = rest.strip_suffix(')').ok_or_else(|| format!("{text:?} is an invalid OS component"))?;
            let mut options = inner.split('+');
            let version = options.next().unwrap_or_default().to_owned();
            Ok((os.into(), version, options.map(str::to_owned).collect()))
        }
    }
}

fn check_component(part: &str) -> Result<(), String> {
    let fine = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if fine { Ok(()) } else { Err(format!("{part:?} is an invalid component")) }
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
        ("aarch64" | "arm64", v) => ("arm64", if matches!(v, "8" | "v8" | "v8.0") { "" } else { v }),
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
        "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
        "openbsd", "plan9", "solaris", "windows",
    ];
    KNOWN.contains(&os) || os == "zos"
}

fn is_known_architecture(architecture: &str) -> bool {
    const KNOWN: [&str; 26] = [
        "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le",
        "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
        "wasm", "x86", "x86_64",
    ];
    KNOWN.contains(&architecture)
}

/// Which platforms serve a wanted one, best first.
pub struct Matcher(Vec<Platform>);

impl Matcher {
    /// `wanted` and what it can run: lesser arm variants, arm on arm64, lesser amd64 levels.
    pub fn only(wanted: &Platform) -> Self {
        let wanted = wanted.normalized();
        let with = |architecture: &str, variant: &str| Platform {
            architecture: architecture.into(),
            variant: variant.into(),
            os_version: String::new(),
            os_features: Vec::new(),
            ..wanted.clone()
        };
        let mut accepted = vec![with(&wanted.architecture, &wanted.variant)];
        let level = |v: &str| v.trim_start_matches('v').split('.').next().and_then(|n| n.parse::<u32>().ok());
        match wanted.architecture.as_str() {
            "amd64" => {
                for lesser in (2..level(&wanted.variant).unwrap_or(1)).rev() {
                    accepted.push(with("amd64", &format!("v{lesser}")));
                }
                accepted.push(with("amd64", ""));
                accepted.push(with("386", ""));
            }
            "arm64" => {
                accepted.push(with("arm64", ""));
                for lesser in (5..=8).rev() {
                    accepted.push(with("arm", &format!("v{lesser}")));
                }
            }
            "arm" => {
                for lesser in (5..level(&wanted.variant).unwrap_or(7)).rev() {
                    accepted.push(with("arm", &format!("v{lesser}")));
                }
            }
            _ => {}
        }
        accepted.dedup();
        Self(accepted)
    }

    /// Lower is better; `None` does not run here.
    pub fn rank(&self, offered: &Platform) -> Option<usize> {
        let offered = offered.normalized();
        self.0.iter().position(|p| {
            p.os == offered.os && p.architecture == offered.architecture && p.variant == offered.variant
        })
    }

    pub fn matches(&self, offered: &Platform) -> bool {
        self.rank(offered).is_some()
    }
}
