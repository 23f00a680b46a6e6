//! The servers that answer for a domain: its mirrors, in order, then the registry itself.

use slipway_model::Reference;
use url::Url;

use crate::client::ClientOptions;
use crate::host::Scheme;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

/// One server and the repository on it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `HOST[:PORT]`.
    pub(crate) host: String,
    /// With a mirror's prefix.
    pub(crate) repository: String,
    /// The domain a mirror stands in for: told as `ns`, as containerd does.
    pub(crate) namespace: Option<String>,
    pub(crate) scheme: Scheme,
}

impl Endpoint {
    /// The registry itself: the only one that is pushed to.
    pub(crate) fn origin(options: &ClientOptions, reference: &Reference) -> Self {
        let domain = reference.domain();
        let host = if domain == DOCKER_HUB { DOCKER_HUB_SERVER } else { domain };
        Self {
            host: host.to_owned(),
            repository: reference.path().to_owned(),
            namespace: None,
            scheme: Scheme::of(host, options.hosts.get(domain).or_else(|| options.hosts.get(host))),
        }
    }

    /// Where to pull from, best first.
    pub(crate) fn all(options: &ClientOptions, reference: &Reference) -> Vec<Self> {
        let domain = reference.domain();
        let mirrors = options.hosts.get(domain).map(|config| config.mirrors.as_slice()).unwrap_or_default();
        let mut all: Vec<_> = mirrors.iter().map(|mirror| Self::mirror(options, reference, mirror)).collect();
        all.push(Self::origin(options, reference));
        all
    }

    fn mirror(options: &ClientOptions, reference: &Reference, mirror: &str) -> Self {
        let mirror = mirror.trim_start_matches("https://").trim_start_matches("http://");
        let (host, prefix) = mirror.split_once('/').unwrap_or((mirror, ""));
        let prefix = prefix.trim_matches('/');
        let path = reference.path();
        Self {
            host: host.to_owned(),
            repository: if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") },
            namespace: Some(reference.domain().to_owned()),
            scheme: Scheme::of(host, options.hosts.get(host)),
        }
    }

    /// `scheme://host/v2/REPOSITORY/rest[?ns=…]`. Fails for a host that is no host.
    pub(crate) fn url(&self, scheme: &str, rest: &str) -> Result<Url, url::ParseError> {
        let mut url = Url::parse(&format!("{scheme}://{}/v2/{}/{rest}", self.host, self.repository))?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Anonymous, HostConfig};

    #[test]
    fn mirrors_come_first_and_docker_hub_has_its_server() {
        let mut options = ClientOptions::new(Arc::new(Anonymous));
        let mirrors = vec!["mirror.example.com/hub".into(), "127.0.0.1:5000".into()];
        options.hosts.insert("docker.io".into(), HostConfig { mirrors, ..HostConfig::default() });
        let reference: Reference = "alpine:3".parse().unwrap();
        let urls: Vec<_> = Endpoint::all(&options, &reference)
            .iter()
            .map(|e| {
                e.url(if e.scheme == Scheme::Http { "http" } else { "https" }, "manifests/3")
                    .unwrap()
                    .to_string()
            })
            .collect();
        assert_eq!(
            urls,
            [
                "https://mirror.example.com/v2/hub/library/alpine/manifests/3?ns=docker.io",
                "http://127.0.0.1:5000/v2/library/alpine/manifests/3?ns=docker.io",
                "https://registry-1.docker.io/v2/library/alpine/manifests/3",
            ]
        );
    }
}
