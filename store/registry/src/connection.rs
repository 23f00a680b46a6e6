//! Connections: one pool for all hosts that need nothing special, one for each host that does.
//!
//! A pool with TLS reads the system's authorities when it is made, so it is made on first use and
//! on a blocking thread: a build from loopback registries never pays for it. Loopback is never
//! reached through a proxy.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::redirect::Policy;

use crate::Error;
use crate::host::{HostConfig, KeyPair, Scheme, is_loopback};

const CONNECT: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(120);
const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pool {
    Plain,
    PlainLoopback,
    Tls,
    Own(String),
}

pub(crate) struct Connections {
    user_agent: String,
    hosts: HashMap<String, HostConfig>,
    pools: Mutex<HashMap<Pool, reqwest::Client>>,
    /// Hosts that were found to speak plain HTTP only.
    plain: Mutex<HashSet<String>>,
}

impl Connections {
    pub(crate) fn new(user_agent: String, hosts: HashMap<String, HostConfig>) -> Self {
        Self { user_agent, hosts, pools: Mutex::default(), plain: Mutex::default() }
    }

    /// `http` or `https`, as far as is known by now.
    pub(crate) fn scheme(&self, host: &str, scheme: Scheme) -> &'static str {
        match scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::HttpsElseHttp if self.plain.lock().contains(host) => "http",
            Scheme::HttpsElseHttp => "https",
        }
    }

    /// From now on plain HTTP, if the host allows it and it was not plain already.
    pub(crate) fn fall_back(&self, host: &str, scheme: Scheme) -> bool {
        scheme == Scheme::HttpsElseHttp && self.plain.lock().insert(host.to_owned())
    }

    pub(crate) fn config(&self, host: &str) -> Option<&HostConfig> {
        self.hosts.get(host)
    }

    /// The pool for `url`. `registry` lends its TLS setup to hosts without one (its token service).
    pub(crate) async fn pool(&self, url: &url::Url, registry: &str) -> Result<reqwest::Client, Error> {
        let host = authority(url);
        let loopback = is_loopback(&host);
        let own =
            |host: &str| self.config(host).is_some_and(HostConfig::has_own_tls).then(|| host.to_owned());
        let pool = match (url.scheme(), loopback) {
            ("http", true) => Pool::PlainLoopback,
            ("http", false) => Pool::Plain,
            _ => own(&host).or_else(|| own(registry)).map_or(Pool::Tls, Pool::Own),
        };
        if let Some(client) = self.pools.lock().get(&pool) {
            return Ok(client.clone());
        }
        let config = match &pool {
            Pool::Own(host) => self.config(host).cloned().unwrap_or_default(),
            _ => HostConfig::default(),
        };
        let plain = matches!(pool, Pool::Plain | Pool::PlainLoopback);
        let (agent, name) = (self.user_agent.clone(), host.clone());
        let made = tokio::task::spawn_blocking(move || make(&agent, &name, &config, plain, loopback));
        let made =
            made.await.map_err(|error| configuration(&host, "cannot set up TLS", Some(error.into())))??;
        Ok(self.pools.lock().entry(pool).or_insert(made).clone())
    }
}

/// `HOST[:PORT]` of a URL, the port only if it is not the scheme's own.
pub(crate) fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn make(
    agent: &str,
    host: &str,
    config: &HostConfig,
    plain: bool,
    loopback: bool,
) -> Result<reqwest::Client, Error> {
    // The first to come sets the process's provider; whoever did, it will do.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| configuration(host, "cannot set up connections", Some(error.into()));
    if plain {
        // No TLS will be spoken: do not read the system's authorities for it.
        return common(agent, loopback).tls_certs_only([]).build().map_err(failed);
    }
    match with_tls(common(agent, loopback), host, config)?.build() {
        // A system without authorities: a container that holds nothing but this program, say.
        Err(error) => {
            let builder = with_tls(common(agent, loopback).tls_certs_only(well_known()), host, config)?;
            builder.build().map_err(|_| failed(error))
        }
        built => built.map_err(failed),
    }
}

/// The authorities that browsers trust, as of when this was built.
fn well_known() -> impl Iterator<Item = reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| reqwest::Certificate::from_der(der).ok())
}

fn common(agent: &str, loopback: bool) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(agent)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .http2_adaptive_window(true);
    if loopback { builder.no_proxy() } else { builder }
}

fn with_tls(
    mut builder: reqwest::ClientBuilder,
    host: &str,
    config: &HostConfig,
) -> Result<reqwest::ClientBuilder, Error> {
    let (mut authorities, mut key_pairs) = (config.authorities.clone(), config.key_pairs.clone());
    for folder in &config.tls_folders {
        search(folder, &mut authorities, &mut key_pairs);
    }
    let bad = |path: &Path, error: reqwest::Error| {
        configuration(host, &format!("{} is not PEM", path.display()), Some(error.into()))
    };
    for path in &authorities {
        let certificates =
            reqwest::Certificate::from_pem_bundle(&read(host, path)?).map_err(|e| bad(path, e))?;
        builder = builder.tls_certs_merge(certificates);
    }
    // One identity is all a TLS client presents; the first pair is it, as in Docker's folders.
    if let Some(pair) = key_pairs.first() {
        let pem = [read(host, &pair.certificate)?, b"\n".to_vec(), read(host, &pair.key)?].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(|e| bad(&pair.certificate, e))?);
    }
    Ok(if config.insecure { builder.tls_danger_accept_invalid_certs(true) } else { builder })
}

/// A folder that is not there, or may not be read, holds nothing.
fn search(folder: &Path, authorities: &mut Vec<PathBuf>, key_pairs: &mut Vec<KeyPair>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => authorities.push(file),
            Some("cert") => key_pairs.push(KeyPair { key: file.with_extension("key"), certificate: file }),
            _ => {}
        }
    }
}

fn read(host: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|e| configuration(host, &format!("cannot read {}", path.display()), Some(e.into())))
}

fn configuration(
    host: &str,
    reason: &str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Configuration { host: host.to_owned(), reason: reason.to_owned(), source }
}
