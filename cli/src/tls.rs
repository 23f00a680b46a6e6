//! TLS towards a daemon on TCP: whom we trust, and what we show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Failure;

#[derive(Args, Clone, Debug, Default)]
pub struct TlsArguments {
    /// Name that the daemon's certificate must be for [default: the address's host]
    #[arg(long, global = true, value_name = "NAME")]
    pub tlsservername: Option<String>,
    /// Authorities that the daemon's certificate must be signed by, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// Certificate to show to the daemon, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Folder with all three: ca.pem, cert.pem, key.pem, or ca.crt, tls.crt, tls.key
    #[arg(long, global = true, value_name = "DIR")]
    pub tlsdir: Option<PathBuf>,
}

/// How to greet a daemon.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl TlsArguments {
    /// `None` if nothing was asked for.
    pub fn client(&self) -> Result<Option<ClientTls>, Failure> {
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let single = [given(&self.tlscacert), given(&self.tlscert), given(&self.tlskey)];
        let [authorities, certificate, key] = match given(&self.tlsdir) {
            Some(_) if single.iter().any(Option::is_some) => {
                return Err(Failure::usage(
                    "--tlsdir stands for --tlscacert, --tlscert and --tlskey: give one or the others",
                ));
            }
            Some(folder) => [
                Some(either(&folder, "ca.pem", "ca.crt")?),
                Some(either(&folder, "cert.pem", "tls.crt")?),
                Some(either(&folder, "key.pem", "tls.key")?),
            ],
            None => single,
        };
        if [&authorities, &certificate, &key].iter().all(|path| path.is_none()) {
            return Ok(None);
        }
        let authorities = authorities
            .ok_or_else(|| Failure::usage("TLS needs --tlscacert: whose certificates the daemon may show"))?;
        let config = config(&authorities, certificate.as_deref(), key.as_deref())?;
        let server_name = self.tlsservername.clone().filter(|name| !name.is_empty());
        Ok(Some(ClientTls { connector: TlsConnector::from(Arc::new(config)), server_name }))
    }
}

impl ClientTls {
    /// `authority` is `HOST:PORT`.
    pub async fn connect(&self, authority: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

fn either(folder: &Path, one: &str, other: &str) -> Result<PathBuf, Failure> {
    let found = [one, other].iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::usage(format!("--tlsdir {}: it has neither {one} nor {other}", folder.display()))
    })
}

fn config(
    authorities: &Path,
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(|error| unusable(authorities, error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("TLS: {error}")))?
        .with_root_certificates(roots);
    let mut config = match (certificate, key) {
        (Some(certificate), Some(key_file)) => {
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unusable(key_file, error))?;
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(certificate, error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(Failure::usage("--tlscert and --tlskey belong together")),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("cannot use {}: {reason}", path.display()))
}
