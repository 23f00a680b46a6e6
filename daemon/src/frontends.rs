//! Which frontends builds may use: the section `[frontend]` of the configuration.

use serde::Deserialize;
use slipway_model::Reference;

/// Everything is allowed unless the configuration says otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontends {
    #[serde(default, rename = "dockerfile.v0")]
    pub dockerfile: DockerfileFrontend,
    #[serde(default, rename = "gateway.v0")]
    pub gateway: GatewayFrontend,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerfileFrontend {
    pub enabled: bool,
    /// Repositories of images that are not run, because the built-in frontend does what they do: with
    /// `docker.io/docker/dockerfile` here, `# syntax=docker/dockerfile:1` needs no registry.
    #[serde(rename = "builtinRepositories")]
    pub built_in_repositories: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayFrontend {
    pub enabled: bool,
    /// Repositories of the images that may be run; empty is any.
    #[serde(rename = "allowedRepositories")]
    pub allowed_repositories: Vec<String>,
}

impl Default for DockerfileFrontend {
    fn default() -> Self {
        Self { enabled: true, built_in_repositories: Vec::new() }
    }
}

impl Default for GatewayFrontend {
    fn default() -> Self {
        Self { enabled: true, allowed_repositories: Vec::new() }
    }
}

impl Frontends {
    /// Whether builds may name `frontend`; unknown ones are somebody else's to refuse.
    pub(crate) fn allows(&self, frontend: &str) -> bool {
        match frontend {
            "dockerfile.v0" => self.dockerfile.enabled,
            "gateway.v0" => self.gateway.enabled,
            _ => true,
        }
    }

    /// Whether the built-in frontend stands in for `image`.
    pub(crate) fn is_built_in(&self, image: &str) -> bool {
        lists(&self.dockerfile.built_in_repositories, image)
    }

    /// Whether `image` may be run as a frontend.
    pub(crate) fn is_allowed(&self, image: &str) -> bool {
        let allowed = &self.gateway.allowed_repositories;
        allowed.is_empty() || lists(allowed, image)
    }
}

/// Tags and digests do not count. A repository may be written in its short form.
fn lists(repositories: &[String], image: &str) -> bool {
    let name = |text: &str| text.parse::<Reference>().map(|reference| reference.name()).ok();
    let wanted = name(image);
    wanted.is_some() && repositories.iter().any(|repository| name(repository) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_repositories_and_nothing_more() {
        let repositories = ["docker.io/docker/dockerfile".to_owned(), "example.org/front".to_owned()];
        for image in ["docker/dockerfile:1", "docker.io/docker/dockerfile", "example.org/front:2"] {
            assert!(lists(&repositories, image), "{image}");
        }
        for image in ["docker/dockerfile-upstream", "example.org/front/end", "dockerfile", "Not Valid", ""] {
            assert!(!lists(&repositories, image), "{image}");
        }
        assert!(Frontends::default().is_allowed("anything/at-all"));
    }
}
