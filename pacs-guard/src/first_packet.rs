//! The first packet of a connection, made to be judged.

use std::net::IpAddr;

use etherparse::PacketBuilder;

use crate::policy::model::{Policy, Service, Transport};

/// The frame with which a source begins to talk to a port: a SYN, or a UDP packet without content. `None` where the
/// two addresses are not of one family.
pub fn first_packet(source: IpAddr, to: IpAddr, transport: Transport, port: u16) -> Option<Vec<u8>> {
    const SOURCE_PORT: u16 = 49_152;
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => ethernet.ipv4(source.octets(), to.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(to)) => ethernet.ipv6(source.octets(), to.octets(), 64),
        _ => return None,
    };
    let mut frame = Vec::new();
    match transport {
        Transport::Tcp => ip.tcp(SOURCE_PORT, port, 0, 64_240).syn().write(&mut frame, &[]).ok()?,
        Transport::Udp => ip.udp(SOURCE_PORT, port).write(&mut frame, &[]).ok()?,
    }
    Some(frame)
}

/// An address that a policy protects the port at, of the source's family.
pub fn protected_at(policy: &Policy, source: IpAddr, transport: Transport, port: u16) -> IpAddr {
    let protects = |service: &&Service| {
        service.transport == transport && service.ports.iter().any(|range| range.contains(&port))
    };
    let mut addresses = policy.services.iter().filter(protects).flat_map(|service| &service.addresses);
    let narrowed = addresses.find(|prefix| prefix.addr().is_ipv4() == source.is_ipv4());
    match (narrowed, source) {
        (Some(prefix), _) => prefix.addr(),
        // Documentation addresses (RFC 5737, RFC 3849): no service is narrowed to them.
        (None, IpAddr::V4(_)) => IpAddr::from([192, 0, 2, 1]),
        (None, IpAddr::V6(_)) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    }
}
