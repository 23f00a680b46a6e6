//! `EXPOSE port[-port][/protocol] …`.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// The words, sorted, variables not expanded (one word may expand to several ports).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose(pub Vec<String>);

impl Expose {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.is_empty() {
            return Err(Fault::AtLeastOneArgument("EXPOSE"));
        }
        Flags::none(&statement.flags)?;
        let mut ports = statement.arguments.words.clone();
        ports.sort();
        Ok(Self(ports))
    }
}

/// One word of `EXPOSE` with its variables expanded: `[[ip:]host:]port[-port][/protocol]`. Ports and
/// addresses are not looked at before [`Self::ports`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortWord<'a> {
    address: &'a str,
    host_port: &'a str,
    port: &'a str,
    /// In lower case.
    protocol: String,
    /// The protocol is written in capitals, which the lint rule `ExposeProtoCasing` reports.
    pub odd_casing: bool,
}

impl<'a> PortWord<'a> {
    pub fn parse(word: &'a str) -> Result<Self, Fault> {
        let (host, container) = word.rsplit_once(':').unwrap_or(("", word));
        let (address, host_port) = host.rsplit_once(':').unwrap_or(("", host));
        let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
        let invalid = |problem: String| Fault::Port { text: word.to_owned(), problem };
        if port.is_empty() {
            return Err(invalid("no port specified".to_owned()));
        }
        let lower = protocol.to_lowercase();
        if !matches!(lower.as_str(), "" | "tcp" | "udp" | "sctp") {
            return Err(invalid(format!("invalid proto: {protocol}")));
        }
        Ok(Self { address, host_port, port, odd_casing: protocol != lower, protocol: lower })
    }

    /// There is an address or a host port, which `ExposeInvalidFormat` reports.
    pub fn has_host(&self) -> bool {
        !self.address.is_empty() || !self.host_port.is_empty()
    }

    /// `port/protocol` for each port.
    pub fn ports(&self) -> Result<Vec<String>, Fault> {
        let Self { port, host_port, .. } = self;
        check_address(self.address)?;
        let (first, last) = port_range(port).ok_or_else(|| Fault::ContainerPort((*port).to_owned()))?;
        if !host_port.is_empty() {
            let (host_first, host_last) =
                port_range(host_port).ok_or_else(|| Fault::HostPort((*host_port).to_owned()))?;
            if first != last && last - first != host_last - host_first {
                let (container, host) = ((*port).to_owned(), (*host_port).to_owned());
                return Err(Fault::PortRanges { container, host });
            }
        }
        let protocol = if self.protocol.is_empty() { "tcp" } else { &self.protocol };
        Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
    }
}

fn check_address(address: &str) -> Result<(), Fault> {
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    if bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok() {
        Ok(())
    } else {
        Err(Fault::IpAddress(bare.to_owned()))
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
