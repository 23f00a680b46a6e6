//! Package URLs: names for packages and images in attestations (<https://github.com/package-url/purl-spec>).
//!
//! Escaped as the reference escapes them: namespaces and names as in a query, versions and qualifiers as in a path.

use std::fmt;

use crate::{Platform, Reference};

/// `pkg:KIND/NAMESPACE/NAME@VERSION?QUALIFIERS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageUrl {
    /// `docker`, `deb`, `npm`.
    pub kind: String,
    /// May be empty; parts are divided by slashes.
    pub namespace: String,
    pub name: String,
    /// Empty for none.
    pub version: String,
    /// In the order in which they are written.
    pub qualifiers: Vec<(String, String)>,
}

impl PackageUrl {
    pub fn new(kind: &str, namespace: &str, name: &str, version: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            version: version.into(),
            qualifiers: Vec::new(),
        }
    }

    /// The image `reference`, by its familiar name; without tag and digest it is `latest`.
    pub fn image(kind: &str, reference: &Reference, platform: Option<&Platform>) -> Self {
        let name = reference.familiar_name();
        let (namespace, name) = name.rsplit_once('/').unwrap_or(("", &name));
        let version = match (reference.tag(), reference.digest()) {
            (Some(tag), _) => tag,
            (None, Some(_)) => "",
            (None, None) => "latest",
        };
        let mut purl = Self::new(kind, namespace, name, version);
        if let Some(digest) = reference.digest() {
            purl = purl.with("digest", &digest.to_string());
        }
        match platform {
            Some(platform) => purl.with("platform", &platform.normalized().to_string()),
            None => purl,
        }
    }

    /// The same with one more qualifier; one without a value says nothing.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.push((key.into(), value.into()));
        }
        self
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        for part in self.namespace.split('/').filter(|part| !part.is_empty()) {
            write!(f, "{}/", Escaped(part, ""))?;
        }
        write!(f, "{}", Escaped(&self.name, ""))?;
        if !self.version.is_empty() {
            write!(f, "@{}", Escaped(&self.version, PATH))?;
        }
        for (index, (key, value)) in self.qualifiers.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            write!(f, "{mark}{key}={}", Escaped(value, PATH))?;
        }
        Ok(())
    }
}

/// What may stand in a segment of a path beside letters and digits.
const PATH: &str = "$&+=:@";

struct Escaped<'a>(&'a str, &'static str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            let c = char::from(byte);
            if c.is_ascii_alphanumeric() || "-_.~".contains(c) || (c.is_ascii() && self.1.contains(c)) {
                write!(f, "{c}")?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_the_names_that_people_write() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = |name: &str| format!("{name}@{digest}");
        for (reference, platform, expected) in [
            ("alpine", "", "pkg:docker/alpine@latest".to_owned()),
            ("library/alpine:3.15", "", "pkg:docker/alpine@3.15".to_owned()),
            (&pinned("alpine:latest"), "", format!("pkg:docker/alpine@latest?digest={digest}")),
            (&pinned("alpine"), "", format!("pkg:docker/alpine?digest={digest}")),
            ("user/test:v2", "", "pkg:docker/user/test@v2".to_owned()),
            ("ghcr.io/foo/bar", "", "pkg:docker/ghcr.io/foo/bar@latest".to_owned()),
            ("localhost:5000/a/b:1", "", "pkg:docker/localhost%3A5000/a/b@1".to_owned()),
            ("busybox", "linux/arm64", "pkg:docker/busybox@latest?platform=linux%2Farm64".to_owned()),
        ] {
            let platform: Option<Platform> =
                Some(platform).filter(|p| !p.is_empty()).map(|p| p.parse().unwrap());
            let purl = PackageUrl::image("docker", &reference.parse().unwrap(), platform.as_ref());
            assert_eq!(purl.to_string(), expected);
        }
    }

    #[test]
    fn packages() {
        let purl = PackageUrl::new("deb", "debian", "libstdc++6", "1:12.2.0-14+b1").with("arch", "amd64");
        assert_eq!(purl.to_string(), "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14+b1?arch=amd64");
        let purl = PackageUrl::new("npm", "@types", "node", "1.0.0").with("nothing", "");
        assert_eq!(purl.to_string(), "pkg:npm/%40types/node@1.0.0");
    }
}
