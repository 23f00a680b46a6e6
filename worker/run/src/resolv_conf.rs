//! A step's `/etc/resolv.conf`: the host's, overridden by the daemon's configuration.
//!
//! | network | source | name servers |
//! |---|---|---|
//! | host | `/etc/resolv.conf` | as they are; the public ones where there are none |
//! | none, private | the same, or systemd-resolved's where only its stub is named | loopback ones left out |
//!
//! Lines that are not understood are carried along; comments are not. The form is BuildKit's.

use std::net::IpAddr;

use crate::{Error, Network, Result};

/// What the daemon's configuration says of names; an empty list leaves the host's in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub nameservers: Vec<String>,
    pub search_domains: Vec<String>,
    pub options: Vec<String>,
}

const HOST_FILE: &str = "/etc/resolv.conf";
/// What systemd-resolved writes for those who cannot reach its stub at 127.0.0.53.
const RESOLVED_FILE: &str = "/run/systemd/resolve/resolv.conf";
const RESOLVED_STUB: &str = "127.0.0.53";
const PUBLIC_SERVERS: [&str; 4] = ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"];
/// A larger file is not a resolv.conf.
const MAX_FILE: u64 = 1 << 20;

/// The whole file for a step.
pub(crate) fn resolv_conf(dns: &Dns, network: Network) -> Result<String> {
    let host = read(HOST_FILE)?;
    let mut parsed = ResolvConf::parse(&host);
    if network != Network::Host && parsed.is_resolved_stub() {
        parsed = ResolvConf::parse(&read(RESOLVED_FILE)?);
    }
    parsed.override_with(dns)?;
    if network != Network::Host || parsed.nameservers.is_empty() {
        parsed.leave_out_loopback(!dns.nameservers.is_empty());
    }
    Ok(parsed.generate())
}

#[derive(Default)]
struct ResolvConf {
    nameservers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
    other: Vec<String>,
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut fields = line.split_whitespace();
            let keyword = fields.next();
            let values = fields.map(str::to_owned).collect::<Vec<_>>();
            match keyword {
                None => {}
                Some("nameserver" | "domain" | "search" | "options") if values.is_empty() => {}
                Some("nameserver") => {
                    parsed
                        .nameservers
                        .extend(values.into_iter().take(1).filter(|value| address(value).is_some()));
                }
                Some("domain" | "search") => parsed.search = values,
                Some("options") => parsed.options.extend(values),
                Some(_) => parsed.other.push(line.to_owned()),
            }
        }
        parsed
    }

    fn is_resolved_stub(&self) -> bool {
        matches!(self.nameservers.as_slice(), [only] if only == RESOLVED_STUB)
    }

    fn override_with(&mut self, dns: &Dns) -> Result<()> {
        if let Some(bad) = dns.nameservers.iter().find(|server| address(server).is_none()) {
            return Err(Error::InvalidSpec { what: format!("name server {bad:?} is not an IP address") });
        }
        if !dns.nameservers.is_empty() {
            self.nameservers = dns.nameservers.clone();
        }
        if !dns.search_domains.is_empty() {
            self.search = dns.search_domains.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        if !dns.options.is_empty() {
            self.options = dns.options.clone();
        }
        Ok(())
    }

    /// Servers that the configuration names are meant as they are, loopback or not.
    fn leave_out_loopback(&mut self, overridden: bool) {
        if overridden {
            return;
        }
        self.nameservers.retain(|server| address(server).is_some_and(|address| !address.is_loopback()));
        if self.nameservers.is_empty() {
            self.nameservers = PUBLIC_SERVERS.map(str::to_owned).into();
        }
    }

    fn generate(&self) -> String {
        let mut text = String::new();
        for server in &self.nameservers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        for (keyword, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                text.push_str(&format!("{keyword} {}\n", values.join(" ")));
            }
        }
        for line in &self.other {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// An address, with the zone that a link-local one may carry (`fe80::1%eth0`).
fn address(text: &str) -> Option<IpAddr> {
    text.split_once('%').map_or(text, |(address, _zone)| address).parse().ok()
}

/// The file's text; one that is missing is empty.
fn read(path: &str) -> Result<String> {
    use std::io::Read;
    let failed =
        |source: std::io::Error| Error::Setup { step: format!("read {path}"), reason: source.to_string() };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(text: &str, dns: &Dns) -> String {
        let mut parsed = ResolvConf::parse(text);
        parsed.override_with(dns).unwrap();
        parsed.leave_out_loopback(!dns.nameservers.is_empty());
        parsed.generate()
    }

    #[test]
    fn loopback_servers_are_left_out_of_other_networks() {
        let text = "# note\nnameserver 127.0.0.1\nnameserver 9.9.9.9\ndomain a\nsearch b c\noptions ndots:1\nsortlist x\n";
        assert_eq!(
            transformed(text, &Dns::default()),
            "nameserver 9.9.9.9\nsearch b c\noptions ndots:1\nsortlist x\n"
        );
    }

    #[test]
    fn without_any_server_the_public_ones_are_used() {
        let text = transformed("nameserver ::1\nnameserver nonsense\n", &Dns::default());
        assert!(text.starts_with("nameserver 8.8.8.8\n"), "{text}");
    }

    #[test]
    fn the_configuration_overrides() {
        let dns = Dns {
            nameservers: vec!["127.0.0.9".into()],
            search_domains: vec![".".into()],
            options: vec!["edns0".into()],
        };
        assert_eq!(transformed("search old\n", &dns), "nameserver 127.0.0.9\noptions edns0\n");
    }

    #[test]
    fn a_server_that_is_no_address_is_refused() {
        let dns = Dns { nameservers: vec!["dns.example".into()], ..Dns::default() };
        assert!(ResolvConf::default().override_with(&dns).is_err());
    }
}
