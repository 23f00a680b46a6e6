//! Links of a network namespace: bridges, pairs of virtual cables, their addresses and routes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{self, CREATE_NEW, DUMP, Message, Socket};

/// What is known of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    /// `bridge`, `veth`, …; "" for hardware.
    pub(super) kind: String,
    /// A free text that stays with the link.
    pub(super) alias: String,
}

/// One end of a cable: its name and its hardware address.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) hardware: [u8; 6],
}

/// `VETH_INFO_PEER` of `linux/veth.h`.
const PEER: u16 = 1;
const IPV4: u8 = libc::AF_INET as u8;

/// The link of that name, if there is one.
pub(super) fn find(socket: &Socket, name: &str) -> io::Result<Option<Link>> {
    let message = Message::new(libc::RTM_GETLINK, 0, &info(0, 0)).with_text(libc::IFLA_IFNAME, name);
    match socket.ask(message) {
        Ok(answers) => Ok(answers.first().and_then(|answer| described(answer))),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether something is plugged into a bridge.
pub(super) fn has_ports(socket: &Socket, bridge: u32) -> io::Result<bool> {
    let links = socket.ask(Message::new(libc::RTM_GETLINK, DUMP, &info(0, 0)))?;
    let bridge_of = |link: &Vec<u8>| {
        netlink::attribute(link.get(16..)?, libc::IFLA_MASTER).and_then(|value| netlink::number32(value, 0))
    };
    Ok(links.iter().any(|link| bridge_of(link) == Some(bridge)))
}

/// A bridge with that hardware address (without one of its own it would change with what is plugged in), and a
/// text by which it is known later. It is not up.
pub(super) fn make_bridge(socket: &Socket, end: &End<'_>, alias: &str) -> io::Result<()> {
    let make = Message::new(libc::RTM_NEWLINK, CREATE_NEW, &info(0, 0))
        .with_text(libc::IFLA_IFNAME, end.name)
        .with(libc::IFLA_ADDRESS, &end.hardware)
        .with_all(libc::IFLA_LINKINFO, &[], |kind| kind.with_text(libc::IFLA_INFO_KIND, "bridge"));
    socket.tell(make)?;
    // Not possible in one go.
    let name = Message::new(libc::RTM_NEWLINK, 0, &info(0, 0))
        .with_text(libc::IFLA_IFNAME, end.name)
        .with_text(libc::IFLA_IFALIAS, alias);
    socket.tell(name)
}

/// A cable from a bridge to another namespace. Both ends are down: the kernel takes none up while it makes the other.
pub(super) fn make_cable(
    socket: &Socket,
    near: &End<'_>,
    bridge: u32,
    far: &End<'_>,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let far_end = |cable: Message| {
        cable.with_all(PEER, &info(0, 0), |peer| {
            peer.with_text(libc::IFLA_IFNAME, far.name)
                .with(libc::IFLA_ADDRESS, &far.hardware)
                .with(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
        })
    };
    let message = Message::new(libc::RTM_NEWLINK, CREATE_NEW, &info(0, 0))
        .with_text(libc::IFLA_IFNAME, near.name)
        .with(libc::IFLA_ADDRESS, &near.hardware)
        .with(libc::IFLA_MASTER, &bridge.to_ne_bytes())
        .with_all(libc::IFLA_LINKINFO, &[], |kind| {
            kind.with_text(libc::IFLA_INFO_KIND, "veth").with_all(libc::IFLA_INFO_DATA, &[], far_end)
        });
    socket.tell(message)
}

pub(super) fn bring_up(socket: &Socket, index: u32) -> io::Result<()> {
    socket.tell(Message::new(libc::RTM_NEWLINK, 0, &info(index, libc::IFF_UP as u32)))
}

/// Whatever hangs on it goes as well.
pub(super) fn delete(socket: &Socket, name: &str) -> io::Result<()> {
    socket.tell(Message::new(libc::RTM_DELLINK, 0, &info(0, 0)).with_text(libc::IFLA_IFNAME, name))
}

/// Gives a link an address; having it already is fine.
pub(super) fn add_address(socket: &Socket, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    // `struct ifaddrmsg`
    let mut body = vec![IPV4, prefix, 0, libc::RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    let broadcast = u32::from(address) | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let message = Message::new(libc::RTM_NEWADDR, CREATE_NEW, &body)
        .with(libc::IFA_LOCAL, &address.octets())
        .with(libc::IFA_ADDRESS, &address.octets())
        .with(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    match socket.tell(message) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// The way to everywhere else.
pub(super) fn add_default_route(socket: &Socket, gateway: Ipv4Addr) -> io::Result<()> {
    // `struct rtmsg`
    let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_BOOT);
    let mut body = vec![IPV4, 0, 0, 0, table, protocol, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST];
    body.extend([0; 4]);
    let message = Message::new(libc::RTM_NEWROUTE, CREATE_NEW, &body);
    socket.tell(message.with(libc::RTA_GATEWAY, &gateway.octets()))
}

/// `struct ifinfomsg` with these flags set.
fn info(index: u32, flags: u32) -> [u8; 16] {
    let mut body = [0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..16].copy_from_slice(&flags.to_ne_bytes());
    body
}

fn described(answer: &[u8]) -> Option<Link> {
    let attributes = answer.get(16..)?;
    let kind = netlink::attribute(attributes, libc::IFLA_LINKINFO)
        .and_then(|info| netlink::text(info, libc::IFLA_INFO_KIND));
    Some(Link {
        index: netlink::number32(answer, 4)?,
        kind: kind.unwrap_or_default(),
        alias: netlink::text(attributes, libc::IFLA_IFALIAS).unwrap_or_default(),
    })
}
