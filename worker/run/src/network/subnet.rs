//! The addresses of a bridge.

use std::net::Ipv4Addr;
use std::str::FromStr;

/// `10.10.0.0/16`: the bridge has the first address, processes get the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

impl Subnet {
    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// How many processes can have an address.
    pub(super) fn size(&self) -> u32 {
        (u32::MAX >> self.prefix) - 2
    }

    /// The address of a number, which wraps around.
    pub(super) fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 2 + number % self.size())
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the subnet {text:?} {what}: write it as 10.10.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(|| wrong("has no prefix length"))?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong("is no IPv4 network"))?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong("has no prefix length"))?;
        // Room for the network itself, the bridge, one process, and the broadcast address.
        if !(8..=30).contains(&prefix) {
            return Err(wrong("has a prefix length that is not from 8 to 30"));
        }
        let network = u32::from(address) & !(u32::MAX >> prefix);
        Ok(Self { network, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_is_the_bridges() {
        let subnet: Subnet = "10.10.7.9/16".parse().unwrap();
        assert_eq!(subnet.to_string(), "10.10.0.0/16");
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 10, 0, 1));
        assert_eq!(subnet.address(0), Ipv4Addr::new(10, 10, 0, 2));
        assert_eq!(subnet.address(65_532), Ipv4Addr::new(10, 10, 255, 254));
        assert_eq!(subnet.address(65_533), Ipv4Addr::new(10, 10, 0, 2));
        let smallest: Subnet = "192.168.0.0/30".parse().unwrap();
        assert_eq!((smallest.size(), smallest.address(5)), (1, Ipv4Addr::new(192, 168, 0, 2)));
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        for text in ["", "10.10.0.0", "10.10.0.0/31", "10.10.0.0/7", "fd00::/64", "a/16", "10.10.0.0/x"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
