//! Registries in containerd's form: a folder with `HOST/hosts.toml`, as hosts that run both have it.
//!
//! ```toml
//! server = "https://registry-1.docker.io"      # the registry itself
//! [host."https://mirror.example.com"]          # asked before it, in the order of the file
//!   capabilities = ["pull", "resolve"]
//!   ca = "/etc/certs/mirror.pem"
//!   client = [["/etc/certs/client.pem", "/etc/certs/client.key"]]
//!   skip_verify = false
//! ```
//!
//! What is pushed goes to the registry itself, whatever a host may do. A host that may not pull is no mirror.
//! `[registry."HOST"]` of the daemon's own file comes before an entry here. What would change where requests go and
//! cannot be said in terms of a [`Registry`] is an error: `header`, paths that do not begin with `/v2`, the folder
//! `_default`, a `server` that is somewhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::file::{KeyPair, Registry};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Hosts {
    server: Option<String>,
    host: toml::Table,
    #[serde(flatten)]
    own: Host,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Host {
    capabilities: Option<Vec<String>>,
    ca: Option<Value>,
    client: Option<Value>,
    skip_verify: bool,
    override_path: bool,
    header: Option<Value>,
}

/// Adds what `folder` says to `registries`, unless they say something of the same host; `Err` says what is wrong.
pub(super) fn read(folder: &Path, registries: &mut BTreeMap<String, Registry>) -> Result<(), String> {
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|error| told(folder, &error))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| told(folder, &error))?.path();
        let file = path.join("hosts.toml");
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| file.is_file()) else {
            continue;
        };
        let text = std::fs::read_to_string(&file).map_err(|error| told(&file, &error))?;
        let name = host_of(name);
        add(&name, &path, &text, &mut found).map_err(|reason| told(&file, &reason))?;
    }
    for (name, registry) in found {
        registries.entry(name).or_insert(registry);
    }
    Ok(())
}

/// `HOST_PORT_` is how containerd spells `HOST:PORT` where names have no colons.
fn host_of(folder: &str) -> String {
    match folder.trim_end_matches('_').rsplit_once('_') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{host}:{port}")
        }
        _ => folder.to_owned(),
    }
}

fn add(name: &str, folder: &Path, text: &str, found: &mut BTreeMap<String, Registry>) -> Result<(), String> {
    if name == "_default" {
        return Err("settings for all hosts are not supported: name each host".into());
    }
    // Order matters, and a table keeps it.
    let hosts: Hosts = toml::from_str(text).map_err(|error| error.to_string())?;
    let upstream = if name == "docker.io" { "registry-1.docker.io" } else { name };
    let mut own = hosts.own.into_registry(folder)?;
    if let Some(server) = &hosts.server {
        let (host, plain) = address(server)?;
        if host != upstream && host != name {
            return Err(format!("server = {server:?} is not {upstream}: make it a [host]"));
        }
        own.http = plain.then_some(true);
    }
    for (server, value) in hosts.host {
        let host: Host = value.try_into().map_err(|error| format!("host.{server:?}: {error}"))?;
        let (address, plain) = address(&server)?;
        let may_pull = host.capabilities.as_ref().is_none_or(|list| list.iter().any(|may| may == "pull"));
        let (place, path) = address.split_once('/').unwrap_or((&address, ""));
        let prefix = match (path, host.override_path) {
            ("", _) => String::new(),
            ("v2", true) => String::new(),
            (path, true) if path.starts_with("v2/") => path["v2".len()..].to_owned(),
            _ => {
                return Err(format!(
                    "host.{server:?}: only paths below /v2, with override_path, are supported"
                ));
            }
        };
        let mut registry =
            host.into_registry(folder).map_err(|reason| format!("host.{server:?}: {reason}"))?;
        registry.http = plain.then_some(true);
        if may_pull && place != upstream {
            own.mirrors.push(format!("{place}{prefix}"));
        }
        found.entry(place.to_owned()).or_insert(registry);
    }
    let mirrors = std::mem::take(&mut own.mirrors);
    let entry = found.entry(name.to_owned()).or_insert(own);
    entry.mirrors = mirrors;
    Ok(())
}

/// `HOST[/PATH]`, and whether it is reached without TLS.
fn address(text: &str) -> Result<(String, bool), String> {
    let (plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => (false, text),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains(['@', '?', '#']) {
        return Err(format!("{text:?} is not the address of a registry"));
    }
    Ok((rest.to_owned(), plain))
}

impl Host {
    /// Paths are taken relative to `folder`.
    fn into_registry(self, folder: &Path) -> Result<Registry, String> {
        if self.header.is_some() {
            return Err("header is not supported".into());
        }
        let mut registry = Registry { insecure: self.skip_verify, ..Registry::default() };
        for path in texts(self.ca.as_ref(), "ca")? {
            registry.ca.push(folder.join(path));
        }
        let pairs = match &self.client {
            None => Vec::new(),
            Some(Value::Array(list)) if list.iter().all(Value::is_array) => list.iter().collect(),
            Some(one) => vec![one],
        };
        for pair in pairs {
            let files: Vec<PathBuf> =
                texts(Some(pair), "client")?.into_iter().map(|path| folder.join(path)).collect();
            match &files[..] {
                // Both in one file.
                [one] => registry.keypair.push(KeyPair { cert: one.clone(), key: one.clone() }),
                [cert, key] => registry.keypair.push(KeyPair { cert: cert.clone(), key: key.clone() }),
                _ => return Err("client is not [CERTIFICATE, KEY]".into()),
            }
        }
        Ok(registry)
    }
}

/// One text, or a list of them.
fn texts(value: Option<&Value>, name: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("{name} is neither a path nor a list of them"))
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(one) => Ok(vec![text(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Result<BTreeMap<String, Registry>, String> {
        let mut found = BTreeMap::new();
        add(name, Path::new("/certs.d/x"), text, &mut found)?;
        Ok(found)
    }

    #[test]
    fn hosts_are_mirrors_in_their_order() {
        let text = r#"
            server = "https://registry-1.docker.io"
            [host."https://b.example"]
              capabilities = ["pull", "resolve"]
              ca = "b.pem"
              client = [["c.pem", "/c.key"]]
            [host."http://a.example:5000"]
              skip_verify = true
            [host."https://h.example/v2/hub"]
              override_path = true
            [host."https://push.example"]
              capabilities = ["push"]
        "#;
        let found = found("docker.io", text).unwrap();
        assert_eq!(found["docker.io"].mirrors, ["b.example", "a.example:5000", "h.example/hub"]);
        assert_eq!(found["b.example"].ca, [PathBuf::from("/certs.d/x/b.pem")]);
        assert_eq!(found["b.example"].keypair[0].key, PathBuf::from("/c.key"));
        assert_eq!((found["a.example:5000"].http, found["a.example:5000"].insecure), (Some(true), true));
        assert_eq!(found["docker.io"].http, None);
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        for (name, text, named) in [
            ("_default", "", "all hosts"),
            ("a.example", "server = \"https://b.example\"", "b.example"),
            ("a.example", "[host.\"https://b.example/x\"]", "/v2"),
            ("a.example", "[host.\"https://b.example\".header]\nx = \"y\"", "header"),
            ("a.example", "[host.\"https://b.example\"]\nca = 1", "ca"),
            ("a.example", "[host.\"https://b.example\"]\nclient = [\"a\", \"b\", \"c\"]", "client"),
            ("a.example", "[host.\"\"]", "address"),
        ] {
            let error = found(name, text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_daemons_own_file_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for host in ["a.example", "b.example_5000"] {
            std::fs::create_dir(folder.path().join(host)).unwrap();
            let text = "[host.\"https://m.example\"]\n";
            std::fs::write(folder.path().join(host).join("hosts.toml"), text).unwrap();
        }
        let mut registries: BTreeMap<_, _> = [("a.example".to_owned(), Registry::default())].into();
        read(folder.path(), &mut registries).unwrap();
        assert!(registries["a.example"].mirrors.is_empty());
        assert_eq!(registries["b.example:5000"].mirrors, ["m.example"]);
    }
}
