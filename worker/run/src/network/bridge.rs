//! A bridge in the daemon's own network, a cable from it into each namespace, and NAT on the way out.
//!
//! The bridge is made when the first process wants it, and removed when the daemon ends. One that was there before
//! is used as it is and stays. Ours is known by its alias, which the kernel keeps, so that another daemon, or the
//! next, can tell.
//!
//! The near end of a cable is named after the address at its far end. The kernel gives a name once, so claiming an
//! address takes no file and no lock, holds between daemons, and ends with the namespace.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::firewall::Firewall;
use super::link::{self, End, Link};
use super::namespace::Namespace;
use super::netlink::Socket;
use super::{Attachment, BridgeOptions, Provider, failed};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Bridge {
    options: BridgeOptions,
    firewall: Firewall,
    /// Its index, once it is ready for cables.
    ready: Mutex<Option<u32>>,
    /// Of the next address to try.
    next: AtomicU32,
}

/// The alias of bridges that were made here.
const OURS: &str = "slipway: network of build steps";
/// What processes know the far end as.
const FAR_NAME: &str = "eth0";
/// `IFNAMSIZ`, without the end.
const LONGEST_NAME: usize = 15;
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

impl Bridge {
    pub(super) fn open(options: BridgeOptions) -> Result<Self> {
        let name = options.name.as_bytes();
        let is_fine = |byte: &u8| byte.is_ascii_graphic() && !b"/:\"'\\%".contains(byte);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.iter().all(is_fine) || name.starts_with(b".") {
            let what = format!("the bridge cannot be called {:?}: use 1 to 15 letters", options.name);
            return Err(Error::InvalidSpec { what });
        }
        let firewall = Firewall { bridge: options.name.clone(), subnet: options.subnet };
        let bridge = Self { options, firewall, ready: Mutex::default(), next: AtomicU32::new(0) };
        // Of a daemon that was killed, perhaps with another subnet.
        bridge.remove_if_unused();
        Ok(bridge)
    }

    /// The index of the bridge, which is made if it is not there.
    fn ready(&self, socket: &Socket) -> Result<u32> {
        let mut ready = self.ready.lock();
        if let Some(index) = *ready {
            return Ok(index);
        }
        let name = &self.options.name;
        let step = || format!("make the bridge {name}");
        let bridge = self.find_or_make(socket).map_err(|error| failed(step(), error))?;
        if bridge.kind != "bridge" {
            return Err(failed(step(), "there is another link of that name: set another bridgeName"));
        }
        let subnet = self.options.subnet;
        link::add_address(socket, bridge.index, subnet.gateway(), subnet.prefix())
            .and_then(|()| link::bring_up(socket, bridge.index))
            .map_err(|error| failed(step(), error))?;
        forward().map_err(|error| failed(format!("set {FORWARDING} to 1"), error))?;
        self.firewall.set_up().map_err(|error| failed(format!("set up NAT for {subnet}"), error))?;
        *ready = Some(bridge.index);
        Ok(bridge.index)
    }

    fn find_or_make(&self, socket: &Socket) -> io::Result<Link> {
        let name = &self.options.name;
        if let Some(bridge) = link::find(socket, name)? {
            return Ok(bridge);
        }
        let end = End { name, hardware: hardware(0x0a, self.options.subnet.gateway()) };
        match link::make_bridge(socket, &end, OURS) {
            // Another daemon was faster.
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
            _ => {}
        }
        link::find(socket, name)?.ok_or_else(|| io::Error::other("it has gone again"))
    }

    /// Lays a cable to the first address that is free.
    fn plug_in(&self, socket: &Socket, bridge: u32, namespace: &Namespace) -> io::Result<Ipv4Addr> {
        for _ in 0..self.options.subnet.size() {
            let address = self.options.subnet.address(self.next.fetch_add(1, Ordering::Relaxed));
            let (name, hardware) = (near_name(address), [hardware(0x0e, address), hardware(0x0a, address)]);
            let near = End { name: &name, hardware: hardware[0] };
            let far = End { name: FAR_NAME, hardware: hardware[1] };
            match link::make_cable(socket, &near, bridge, &far, namespace.as_fd()) {
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                other => return other.map(|()| address),
            }
        }
        Err(io::Error::other(format!("all addresses of {} are in use", self.options.subnet)))
    }

    fn remove_if_unused(&self) {
        let Ok(socket) = Socket::open() else { return };
        let Ok(Some(bridge)) = link::find(&socket, &self.options.name) else { return };
        let is_ours = bridge.kind == "bridge" && bridge.alias == OURS;
        if is_ours && link::has_ports(&socket, bridge.index).is_ok_and(|has_ports| !has_ports) {
            // What stays is found and used the next time.
            let _ = link::delete(&socket, &self.options.name);
            self.firewall.remove();
        }
    }
}

impl Provider for Bridge {
    fn attach(&self, _: &str) -> Result<Attachment> {
        let failing = |error: io::Error| failed("make a network for the step", error);
        let socket = Socket::open().map_err(failing)?;
        let namespace = Namespace::make().map_err(failing)?;
        let plugged_in = match self.plug_in(&socket, self.ready(&socket)?, &namespace) {
            // Another daemon has removed it meanwhile, as it had no cables.
            Err(_) if !link::find(&socket, &self.options.name).is_ok_and(|bridge| bridge.is_some()) => {
                *self.ready.lock() = None;
                self.plug_in(&socket, self.ready(&socket)?, &namespace)
            }
            other => other,
        };
        let address = plugged_in.map_err(failing)?;
        let attachment = Attachment { namespace, name: near_name(address), hostname: String::new() };
        let connect = || -> io::Result<()> {
            let near = link::find(&socket, &attachment.name)?.ok_or(io::ErrorKind::NotFound)?;
            link::bring_up(&socket, near.index)?;
            let (socket, subnet) = (attachment.namespace.socket(), self.options.subnet);
            let far = link::find(socket, FAR_NAME)?.ok_or(io::ErrorKind::NotFound)?;
            link::bring_up(socket, far.index)?;
            link::add_address(socket, far.index, address, subnet.prefix())?;
            link::add_default_route(socket, subnet.gateway())
        };
        if let Err(error) = connect() {
            self.detach(&attachment);
            return Err(failing(error));
        }
        Ok(attachment)
    }

    /// By itself the cable would go with the namespace, some time later.
    fn detach(&self, attachment: &Attachment) {
        if let Ok(socket) = Socket::open() {
            let _ = link::delete(&socket, &attachment.name);
        }
    }

    fn close(&self) {
        *self.ready.lock() = None;
        self.remove_if_unused();
    }
}

fn near_name(address: Ipv4Addr) -> String {
    format!("slip{:08x}", u32::from(address))
}

/// An address of our own making, the same for the same IP address: neighbours may remember it.
fn hardware(prefix: u8, address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [prefix, 0x58, a, b, c, d]
}

/// The host passes packets on between its links.
fn forward() -> io::Result<()> {
    if std::fs::read_to_string(FORWARDING)?.trim() == "0" {
        std::fs::write(FORWARDING, "1")?;
    }
    Ok(())
}
