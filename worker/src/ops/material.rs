//! What a build is made of, as provenance names it: a source operation, and what it turned out to be.

use slipway_model::llb::pb::op::Op as Kind;
use slipway_model::llb::{self, pb};
use slipway_model::{Digest, Platform};

use super::cache_key::source::GitIdentifier;
use crate::source::credentials_of_url;

/// One source. Addresses hold no names and passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    Image {
        reference: String,
        platform: Option<Platform>,
        digest: Digest,
        /// Of a client's OCI layout.
        local: bool,
    },
    Blob {
        reference: String,
        digest: Digest,
        local: bool,
    },
    Git {
        /// With the reference behind `#`.
        url: String,
        commit: String,
        /// The blob that the commits were read from instead, if it was one.
        bundle: Option<Bundle>,
        /// Secrets that may have been asked for.
        secrets: Vec<String>,
        /// An SSH agent that may have been asked for.
        ssh: Option<String>,
    },
    Http {
        url: String,
        digest: Digest,
    },
    Local {
        name: String,
    },
}

/// A git bundle that is a blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bundle {
    /// Without the digest.
    pub reference: String,
    pub digest: Digest,
    /// Of a client's OCI layout.
    pub local: bool,
}

impl Bundle {
    /// `locator` is `SCHEME://REFERENCE@DIGEST`, as the operation says it.
    fn of(locator: &str) -> Option<Self> {
        let (scheme, name) = locator.split_once("://")?;
        let (reference, digest) = name.rsplit_once('@')?;
        let digest = digest.parse().ok()?;
        Some(Self { reference: reference.to_owned(), digest, local: scheme == "oci-layout+blob" })
    }
}

impl Material {
    /// The material of a source operation; `pin` is what the solver found that it stands for. `None` for other
    /// operations, and for a source that was never asked.
    pub fn of(vertex: &llb::Vertex, pin: Option<&str>) -> Option<Self> {
        let Some(Kind::Source(source)) = &vertex.op.op else { return None };
        let (scheme, name) = source.identifier.split_once("://")?;
        let digest = || pin?.parse::<Digest>().ok();
        Some(match scheme {
            "local" => Self::Local { name: name.to_owned() },
            "docker-image" | "oci-layout" => Self::Image {
                reference: name.to_owned(),
                platform: vertex.op.platform.as_ref().map(|platform| Platform::from(platform).normalized()),
                digest: digest()?,
                local: scheme == "oci-layout",
            },
            "docker-image+blob" | "oci-layout+blob" => Self::Blob {
                reference: name.to_owned(),
                digest: digest().or_else(|| name.rsplit_once('@')?.1.parse().ok())?,
                local: scheme == "oci-layout+blob",
            },
            "http" | "https" => {
                Self::Http { url: credentials_of_url::hidden(&source.identifier), digest: digest()? }
            }
            "git" => git(name, source, pin?)?,
            _ => return None,
        })
    }
}

fn git(name: &str, source: &pb::SourceOp, commit: &str) -> Option<Material> {
    let identifier = GitIdentifier::parse(name, source).ok()?;
    let mut url = credentials_of_url::hidden(&identifier.remote);
    if !identifier.reference.is_empty() {
        url = format!("{url}#{}", identifier.reference);
    }
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let secrets = [&identifier.auth_token_secret, &identifier.auth_header_secret];
    Some(Material::Git {
        url,
        commit: commit.to_owned(),
        bundle: Bundle::of(&identifier.bundle),
        secrets: secrets.into_iter().filter_map(named).collect(),
        ssh: named(&identifier.ssh_socket),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(identifier: &str, attributes: &[(&str, &str)], pin: &str) -> Option<Material> {
        let attrs = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let source = pb::SourceOp { identifier: identifier.to_owned(), attrs };
        let op = pb::Op { op: Some(Kind::Source(source)), ..pb::Op::default() };
        let (digest, bytes) = llb::marshal::marshal(&op);
        let metadata = pb::OpMetadata::default();
        let vertex = llb::Vertex { digest, op, bytes: bytes.into(), metadata, inputs: Vec::new() };
        Material::of(&vertex, Some(pin).filter(|pin| !pin.is_empty()))
    }

    #[test]
    fn addresses_have_no_passwords() {
        let digest = Digest::of("x");
        let found = material("https://me:secret@host/file", &[], &digest.to_string());
        assert_eq!(found, Some(Material::Http { url: "https://xxxxx:xxxxx@host/file".into(), digest }));
        let attributes =
            [("git.fullurl", "https://token@host/r.git"), ("git.authtokensecret", "GIT_AUTH_TOKEN")];
        let found = material("git://host/r.git#main:folder", &attributes, "abc");
        let expected = Material::Git {
            url: "https://xxxxx@host/r.git#main".into(),
            commit: "abc".into(),
            bundle: None,
            secrets: vec!["GIT_AUTH_TOKEN".into()],
            ssh: None,
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn a_bundle_is_part_of_what_git_is_made_of() {
        let digest = Digest::of("x");
        let commit = "a".repeat(40);
        let bundle = |locator: String| {
            let attributes = [("git.bundle", locator.as_str()), ("git.checksum", &commit)];
            match material("git://host/r.git#main", &attributes, &commit) {
                Some(Material::Git { bundle, .. }) => bundle,
                other => panic!("{other:?}"),
            }
        };
        let expected = Bundle { reference: "host/bundles".into(), digest, local: false };
        assert_eq!(bundle(format!("docker-image+blob://host/bundles@{digest}")), Some(expected.clone()));
        let of_a_layout = bundle(format!("oci-layout+blob://host/bundles@{digest}"));
        assert_eq!(of_a_layout, Some(Bundle { local: true, ..expected }));
        assert_eq!(bundle(String::new()), None);
    }

    #[test]
    fn a_source_that_nobody_asked_is_none() {
        assert_eq!(material("docker-image://docker.io/library/a:1", &[], ""), None);
        assert_eq!(material("local://context", &[], ""), Some(Material::Local { name: "context".into() }));
    }
}
