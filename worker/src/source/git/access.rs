//! What the client gives to reach the remote.
//!
//! A token or header is a secret of the client, sent as `http.URL.extraHeader` for this remote alone (for all of
//! github.com if that is where the remote is, so that its private submodules can be reached). It travels in the
//! environment of `git`, never on its command line.

use std::path::PathBuf;

use base64::Engine as _;
use slipway_session::caller::{AgentSocket, SocketAccess};
use url::Url;

use crate::ops::cache_key::source::GitIdentifier;
use crate::{Error, Result, Worker};

#[derive(Default)]
pub(super) struct Access {
    /// Keys and values of git's configuration.
    pub(super) config: Vec<(String, String)>,
    /// Texts that must not be seen in what git says.
    pub(super) secrets: Vec<String>,
    pub(super) agent: Option<AgentSocket>,
    pub(super) known_hosts: Option<KnownHosts>,
}

/// A file that `ssh` reads, for as long as it is needed.
pub(super) struct KnownHosts(pub(super) PathBuf);

impl Drop for KnownHosts {
    fn drop(&mut self) {
        // Host keys are public; what stays is removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Access {
    pub(super) async fn of(worker: &Worker, identifier: &GitIdentifier, sessions: &[String]) -> Result<Self> {
        let mut access = Self::default();
        let url = Url::parse(&identifier.remote).ok();
        if let Some(password) = url.as_ref().and_then(Url::password) {
            access.secrets.push(password.to_owned());
        }
        if let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) {
            access.add_header(worker, identifier, sessions, &url).await?;
        }
        if !identifier.ssh_socket.is_empty() {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let owner = SocketAccess { uid, gid, mode: 0o700 };
            access.agent = Some(worker.agent(sessions, &identifier.ssh_socket, owner).await?);
        }
        if !identifier.known_ssh_hosts.is_empty() {
            let path = worker.passing_file()?;
            std::fs::write(&path, &identifier.known_ssh_hosts)
                .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
            access.known_hosts = Some(KnownHosts(path));
        }
        Ok(access)
    }

    async fn add_header(
        &mut self,
        worker: &Worker,
        identifier: &GitIdentifier,
        sessions: &[String],
        url: &Url,
    ) -> Result<()> {
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let GitIdentifier { auth_header_secret: header, auth_token_secret: token, .. } = identifier;
        let names = [
            (format!("{header}.{host}"), header),
            (format!("{token}.{host}"), token),
            (header.clone(), header),
            (token.clone(), token),
        ];
        for (name, base) in names {
            if base.is_empty() {
                continue;
            }
            let Some(secret) = worker.secret(sessions, &name).await? else { continue };
            let secret = String::from_utf8(secret.expose().trim_ascii_end().to_vec())
                .map_err(|_| Error::Failed(format!("secret {name} is not a text")))?;
            let value = if base == token && base != header {
                let basic =
                    base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{secret}"));
                self.secrets.push(basic.clone());
                format!("basic {basic}")
            } else {
                secret.clone()
            };
            self.secrets.push(secret);
            let key = format!("http.{}.extraHeader", scope(&identifier.remote));
            self.config.push((key, format!("Authorization: {value}")));
            // git would send the header to whatever server the first answer leads to.
            self.config.push(("http.followRedirects".into(), "false".into()));
            return Ok(());
        }
        Ok(())
    }
}

/// Which addresses a secret for `remote` is for.
fn scope(remote: &str) -> &str {
    let github = ["https://github.com/", "https://www.github.com/"];
    github.into_iter().find(|prefix| remote.starts_with(prefix)).unwrap_or(remote)
}
