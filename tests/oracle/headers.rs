//! Headers as bytes, with right checksums: nothing here knows what a test wants to break.

use std::net::IpAddr;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The checksum of the internet (RFC 1071).
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| {
        part.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A segment or datagram with its checksum.
pub(crate) fn sealed(protocol: u8, source: IpAddr, destination: IpAddr, mut bytes: Vec<u8>) -> Vec<u8> {
    let at = if protocol == TCP { 16 } else { 6 };
    let length = (bytes.len() as u32).to_be_bytes();
    let sum =
        checksum(&[&octets(source), &octets(destination), &length, &[0, 0, 0, protocol], bytes.as_slice()]);
    // In UDP a checksum of 0 would say that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A TCP segment (RFC 9293), not yet sealed. The number is sequence and acknowledgment at once.
pub(crate) fn tcp(ports: (u16, u16), number: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend([number.to_be_bytes(), number.to_be_bytes()].concat());
    bytes.extend([(5 + options.len() as u8 / 4) << 4, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram (RFC 768), not yet sealed.
pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let header = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
    [&header, payload].concat()
}

/// An IPv4 packet (RFC 791); `fragment` is the word of flags and offset.
pub(crate) fn ipv4(
    ends: (IpAddr, IpAddr),
    protocol: u8,
    id: u16,
    fragment: u16,
    options: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let length = (20 + options.len() + body.len()) as u16;
    let mut bytes = vec![0x45 + options.len() as u8 / 4, 0];
    bytes.extend([length, id, fragment].map(u16::to_be_bytes).concat());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend([octets(ends.0), octets(ends.1)].concat());
    bytes.extend(options);
    reseal_ipv4(&mut bytes);
    bytes.extend(body);
    bytes
}

/// Writes the checksum of the IPv4 header at the start of a packet, as long as the header says it is.
pub(crate) fn reseal_ipv4(packet: &mut [u8]) {
    let Some(header) = packet.first().map(|first| usize::from(first & 0xf) * 4) else { return };
    if header >= 12 && packet.len() >= header {
        packet[10..12].fill(0);
        let sum = checksum(&[&packet[..header]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// An IPv6 packet (RFC 8200).
pub(crate) fn ipv6(ends: (IpAddr, IpAddr), next: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([next, 64]);
    bytes.extend([octets(ends.0), octets(ends.1)].concat());
    bytes.extend(body);
    bytes
}

/// An IPv6 fragment header (RFC 8200 section 4.5); `offset` in units of eight bytes.
pub(crate) fn fragment_header(next: u8, reserved: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let mut bytes = vec![next, reserved];
    bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes
}
