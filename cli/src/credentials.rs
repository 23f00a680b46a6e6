//! Registry credentials from Docker's configuration: `~/.docker/config.json` and credential helpers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use base64::Engine;
use serde::Deserialize;
use slipway_model::Redacted;
use slipway_session::caller::Credential;
use slipway_session::provider::CredentialSource;
use slipway_session::{Error, Result};
use tokio::io::AsyncWriteExt;

/// The key under which Docker keeps what is for its hub.
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Entry>,
    creds_store: String,
    cred_helpers: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// Reads the configuration anew for each question: a login during a long build counts.
pub struct DockerConfig {
    path: Option<PathBuf>,
}

impl DockerConfig {
    pub fn of_user() -> Self {
        let directory = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
        Self { path: directory.or_else(home).map(|directory| directory.join("config.json")) }
    }

    fn read(&self) -> Result<Config> {
        let Some(path) = &self.path else { return Ok(Config::default()) };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(source) => {
                return Err(Error::File { action: "read", path: path.display().to_string(), source });
            }
        };
        serde_json::from_str(&text)
            .map_err(|error| Error::Protocol(format!("{} is not valid: {error}", path.display())))
    }
}

#[async_trait]
impl CredentialSource for DockerConfig {
    async fn credential(&self, host: &str) -> Result<Option<Credential>> {
        let config = self.read()?;
        for name in names(host) {
            let helper = config.cred_helpers.get(&name).or(Some(&config.creds_store));
            if let Some(helper) = helper.filter(|helper| !helper.is_empty())
                && let Some(found) = ask(helper, &name).await?
            {
                return Ok(Some(found));
            }
            let entry = config.auths.iter().find(|(key, _)| bare(key) == bare(&name));
            if let Some(found) = entry.and_then(|(_, entry)| stored(entry)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Under which names credentials for `host` may be kept.
fn names(host: &str) -> Vec<String> {
    match host {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => vec![HUB.into(), "docker.io".into()],
        host => vec![host.into()],
    }
}

/// A key without its scheme and path.
fn bare(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    key.split('/').next().unwrap_or(key)
}

fn stored(entry: &Entry) -> Option<Credential> {
    let credential = |username: &str, secret: &str| {
        Some(Credential { username: username.into(), secret: Redacted::new(secret.into()) })
    };
    if !entry.identitytoken.is_empty() {
        return credential("", &entry.identitytoken);
    }
    if !entry.username.is_empty() {
        return credential(&entry.username, &entry.password);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(&entry.auth).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    credential(username, password.trim_end_matches('\0'))
}

/// Asks `docker-credential-HELPER`; `None` if it has nothing or is not installed.
async fn ask(helper: &str, server: &str) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{helper}");
    let spawned = tokio::process::Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = spawned else { return Ok(None) };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(server.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|source| Error::File {
        action: "run",
        path: program,
        source,
    })?;
    let Ok(Helped { username, secret }) = serde_json::from_slice(&output.stdout) else { return Ok(None) };
    let username = if username == "<token>" { String::new() } else { username };
    Ok(Some(Credential { username, secret: Redacted::new(secret) }))
}
