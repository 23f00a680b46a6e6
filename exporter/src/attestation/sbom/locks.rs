//! Lock files: exact versions that a project is built with. Each is read for names and versions, no further.

use serde_json::Value;
use slipway_model::PackageUrl;

use super::Package;

/// The lock files that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    Cargo,
    Npm,
    Yarn,
    Pnpm,
    GoSum,
    Gemfile,
    Composer,
    /// `[[package]]` of Poetry and uv.
    PythonToml,
    Pipfile,
    /// Not locked but installed.
    PythonMetadata,
}

type Read = Result<Vec<Package>, String>;

impl Lock {
    pub(super) fn of(folder: &str, name: &str) -> Option<Self> {
        Some(match name {
            "Cargo.lock" => Self::Cargo,
            "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => Self::Npm,
            "yarn.lock" => Self::Yarn,
            "pnpm-lock.yaml" => Self::Pnpm,
            "go.sum" => Self::GoSum,
            "Gemfile.lock" => Self::Gemfile,
            "composer.lock" => Self::Composer,
            "poetry.lock" | "uv.lock" => Self::PythonToml,
            "Pipfile.lock" => Self::Pipfile,
            "METADATA" if folder.ends_with(".dist-info") => Self::PythonMetadata,
            _ => return None,
        })
    }

    pub(super) fn read(self, text: &str, path: &str) -> Read {
        let pairs = match self {
            Self::Cargo => toml_packages(text)?,
            Self::PythonToml => toml_packages(text)?.into_iter().map(python).collect(),
            Self::Npm => npm(&json(text)?),
            Self::Yarn => yarn(text),
            Self::Pnpm => pnpm(text),
            Self::GoSum => go_sum(text),
            Self::Gemfile => gemfile(text),
            Self::Composer => composer(&json(text)?),
            Self::Pipfile => pipfile(&json(text)?).into_iter().map(python).collect(),
            Self::PythonMetadata => return Ok(python_metadata(text, path).into_iter().collect()),
        };
        let is_whole = |(name, version): &(String, String)| !name.is_empty() && !version.is_empty();
        Ok(pairs.into_iter().filter(is_whole).map(|pair| self.package(&pair, path)).collect())
    }

    fn package(self, (name, version): &(String, String), path: &str) -> Package {
        let kind = match self {
            Self::Cargo => "cargo",
            Self::Npm | Self::Yarn | Self::Pnpm => "npm",
            Self::GoSum => "golang",
            Self::Gemfile => "gem",
            Self::Composer => "composer",
            Self::PythonToml | Self::Pipfile | Self::PythonMetadata => "pypi",
        };
        let (namespace, name) = match self {
            Self::Cargo | Self::Gemfile | Self::PythonToml | Self::Pipfile | Self::PythonMetadata => {
                ("", name.as_str())
            }
            _ => name.rsplit_once('/').unwrap_or(("", name)),
        };
        Package::new(PackageUrl::new(kind, namespace, name, version), path)
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn text_of(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn toml_packages(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let packages = table.get("package").and_then(toml::Value::as_array);
    let field = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    Ok(packages.into_iter().flatten().map(|it| (field(it, "name"), field(it, "version"))).collect())
}

/// Names that mean the same are written the same (PEP 503).
fn python((name, version): (String, String)) -> (String, String) {
    (name.to_ascii_lowercase().replace(['_', '.'], "-"), version)
}

/// Version 2 and 3 list `packages` by path, version 1 nests `dependencies`.
fn npm(lock: &Value) -> Vec<(String, String)> {
    const MARK: &str = "node_modules/";
    if let Some(packages) = lock.get("packages").and_then(Value::as_object) {
        let named = |(path, package): (&String, &Value)| {
            let name = path.rfind(MARK).map(|at| path[at + MARK.len()..].to_owned())?;
            let is_link = package.get("link").and_then(Value::as_bool).unwrap_or(false);
            (!is_link).then(|| (name, text_of(package, "version")))
        };
        return packages.iter().filter_map(named).collect();
    }
    let mut found = Vec::new();
    let mut todo: Vec<&Value> = lock.get("dependencies").into_iter().collect();
    while let Some(dependencies) = todo.pop() {
        for (name, package) in dependencies.as_object().into_iter().flatten() {
            found.push((name.clone(), text_of(package, "version")));
            todo.extend(package.get("dependencies"));
        }
    }
    found
}

/// `"name@range", name@range:` and below it `version "1.2.3"`, or `version: 1.2.3`.
fn yarn(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = String::new();
    for line in text.lines() {
        if !line.starts_with([' ', '#']) && line.ends_with(':') {
            let first = line.split(',').next().unwrap_or_default().trim().trim_matches([':', '"']);
            let at = first.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
            name = at.map(|at| first[..at].to_owned()).unwrap_or_default();
        } else if let Some(version) = line.trim().strip_prefix("version") {
            let version = version.trim_start_matches(':').trim().trim_matches('"');
            found.push((std::mem::take(&mut name), version.to_owned()));
        }
    }
    found
}

/// Keys of `packages:` are `/name@1.2.3(peers):`, `name@1.2.3:` or, of old, `/name/1.2.3:`.
fn pnpm(text: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            inside = line.starts_with("packages:");
        } else if let (true, Some(key)) = (inside, line.strip_prefix("  ")) {
            let Some(key) = key.strip_suffix(':').filter(|key| !key.starts_with(' ')) else { continue };
            let key = key.trim_matches(['\'', '"']).trim_start_matches('/');
            let key = key.split('(').next().unwrap_or_default();
            let split = match key.get(1..).and_then(|rest| rest.rfind('@')) {
                Some(at) => Some((&key[..at + 1], &key[at + 2..])),
                None => key.rsplit_once('/'),
            };
            found.extend(split.map(|(name, version)| (name.to_owned(), version.to_owned())));
        }
    }
    found
}

/// `module version hash`; versions that only name a `go.mod` were not built.
fn go_sum(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (module, version) = (words.next()?, words.next()?);
        (!version.ends_with("/go.mod")).then(|| (module.to_owned(), version.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// `    name (1.2.3)` below `specs:`.
fn gemfile(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line = line.strip_prefix("    ").filter(|line| !line.starts_with(' '))?;
        let (name, version) = line.split_once(" (")?;
        Some((name.to_owned(), version.strip_suffix(')')?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn composer(lock: &Value) -> Vec<(String, String)> {
    let packages = lock.get("packages").and_then(Value::as_array);
    packages.into_iter().flatten().map(|it| (text_of(it, "name"), text_of(it, "version"))).collect()
}

fn pipfile(lock: &Value) -> Vec<(String, String)> {
    let packages = lock.get("default").and_then(Value::as_object);
    let pair = |(name, package): (&String, &Value)| {
        (name.clone(), text_of(package, "version").trim_start_matches("==").to_owned())
    };
    packages.into_iter().flatten().map(pair).collect()
}

/// Headers as in a mail.
fn python_metadata(text: &str, path: &str) -> Option<Package> {
    let head = text.split("\n\n").next().unwrap_or_default();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().trim().to_owned()
    };
    let pair = python((field("Name"), field("Version")));
    if pair.0.is_empty() || pair.1.is_empty() {
        return None;
    }
    let license = Some(field("License-Expression")).filter(|license| !license.is_empty());
    let license = license.unwrap_or_else(|| field("License"));
    Some(Package { license, ..Lock::PythonMetadata.package(&pair, path) })
}
