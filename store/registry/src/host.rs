//! How a registry is reached, as its owner configured it (`[registry."HOST"]` of the daemon's file).

use std::net::IpAddr;
use std::path::PathBuf;

/// The defaults are a public registry: HTTPS with the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// `HOST` or `HOST/prefix`, tried in order before the registry itself, for pulling only.
    pub mirrors: Vec<String>,
    /// `None` means plain HTTP for loopback addresses and HTTPS for all others.
    pub plain_http: Option<bool>,
    /// Any certificate will do; together with plain HTTP: HTTPS first, then plain HTTP.
    pub insecure: bool,
    /// Files of PEM certificates, trusted beside the system's.
    pub authorities: Vec<PathBuf>,
    pub key_pairs: Vec<KeyPair>,
    /// Folders in Docker's form: `*.crt` are authorities, `NAME.cert` with `NAME.key` are key pairs.
    pub tls_folders: Vec<PathBuf>,
}

/// A client certificate and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl HostConfig {
    /// A registry of which nothing is demanded: what `registry.insecure=true` of an exporter means.
    pub fn insecure() -> Self {
        Self { plain_http: Some(true), insecure: true, ..Self::default() }
    }

    /// Needs a TLS setup of its own.
    pub(crate) fn has_own_tls(&self) -> bool {
        self.insecure
            || !self.authorities.is_empty()
            || !self.key_pairs.is_empty()
            || !self.tls_folders.is_empty()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
    /// HTTPS, and plain HTTP from the first failure to get a connection on.
    HttpsElseHttp,
}

impl Scheme {
    pub(crate) fn of(host: &str, config: Option<&HostConfig>) -> Self {
        let plain = config.and_then(|c| c.plain_http).unwrap_or_else(|| is_loopback(host));
        match (plain, config.is_some_and(|c| c.insecure)) {
            (true, true) => Self::HttpsElseHttp,
            (true, false) => Self::Http,
            (false, _) => Self::Https,
        }
    }
}

/// `localhost`, `127.0.0.0/8`, `[::1]`, each with or without a port.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_plain_unless_told_otherwise() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert_eq!(Scheme::of(host, None), Scheme::Http, "{host}");
        }
        for host in
            ["docker.io", "localhost.example.com", "128.0.0.1:5000", "[::2]:5000", "127.0.0.1.example.com"]
        {
            assert_eq!(Scheme::of(host, None), Scheme::Https, "{host}");
        }
        let tls = HostConfig { plain_http: Some(false), ..HostConfig::default() };
        assert_eq!(Scheme::of("localhost:5000", Some(&tls)), Scheme::Https);
        let insecure = HostConfig { insecure: true, ..HostConfig::default() };
        assert_eq!(Scheme::of("localhost:5000", Some(&insecure)), Scheme::HttpsElseHttp);
        assert_eq!(Scheme::of("example.com", Some(&insecure)), Scheme::Https);
        assert_eq!(Scheme::of("example.com", Some(&HostConfig::insecure())), Scheme::HttpsElseHttp);
    }
}
