//! Frames from their headers up; what is not told to lie is right, checksums included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ESP: u8 = 50;
pub(crate) const AUTHENTICATION: u8 = 51;
pub(crate) const NO_NEXT: u8 = 59;
pub(crate) const DESTINATION: u8 = 60;

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
/// IEEE 802.1Q and 802.1ad.
pub(crate) const CTAG: u16 = 0x8100;
pub(crate) const STAG: u16 = 0x88a8;

pub(crate) const SYN: u16 = 0x02;
pub(crate) const ACK: u16 = 0x10;
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;

/// The port that every built packet comes from.
pub(crate) const FROM_PORT: u16 = 49_152;
/// The receiver's and the sender's hardware addresses; locally administered.
pub(crate) const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// An Ethernet frame; a tag is its EtherType and its control information.
pub(crate) fn ethernet(tags: &[(u16, u16)], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = MACS.concat();
    for (tag, control) in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 header (RFC 791 section 3.1).
#[derive(Clone, Debug)]
pub(crate) struct V4 {
    pub(crate) source: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) protocol: u8,
    /// Filled up to whole words with the end of options.
    pub(crate) options: Vec<u8>,
    /// Flags and offset, in the header's own order.
    pub(crate) fragment: u16,
    /// The first byte, where it is to lie.
    pub(crate) version_length: Option<u8>,
    /// The total length, where it is to lie.
    pub(crate) total: Option<u16>,
}

impl V4 {
    pub(crate) fn new(source: Ipv4Addr, to: Ipv4Addr, protocol: u8) -> Self {
        Self { source, to, protocol, options: Vec::new(), fragment: 0, version_length: None, total: None }
    }

    pub(crate) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let options = self.options.len().next_multiple_of(4);
        let header = 20 + options;
        let mut packet = vec![self.version_length.unwrap_or(0x40 | (header / 4) as u8), 0];
        packet.extend(self.total.unwrap_or((header + payload.len()) as u16).to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.to.octets());
        packet.extend(&self.options);
        packet.resize(header, 0);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        ethernet(&[], IPV4, &self.packet(payload))
    }
}

/// An IPv6 header (RFC 8200 section 3).
#[derive(Clone, Debug)]
pub(crate) struct V6 {
    pub(crate) source: Ipv6Addr,
    pub(crate) to: Ipv6Addr,
    pub(crate) next: u8,
    /// The payload length, where it is to lie.
    pub(crate) length: Option<u16>,
}

impl V6 {
    pub(crate) fn new(source: Ipv6Addr, to: Ipv6Addr, next: u8) -> Self {
        Self { source, to, next, length: None }
    }

    pub(crate) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(self.length.unwrap_or(payload.len() as u16).to_be_bytes());
        packet.extend([self.next, 64]);
        packet.extend(self.source.octets());
        packet.extend(self.to.octets());
        packet.extend(payload);
        packet
    }

    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        ethernet(&[], IPV6, &self.packet(payload))
    }
}

/// A chain of extension headers: each one's number and its bytes behind the next header's number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain(Vec<(u8, Vec<u8>)>);

impl Chain {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, header: u8, rest: Vec<u8>) -> Self {
        self.0.push((header, rest));
        self
    }

    /// Options of so many units of eight bytes behind the first, filled with one PadN.
    pub(crate) fn options(self, header: u8, units: u8) -> Self {
        let mut rest = vec![0; 7 + 8 * usize::from(units)];
        // PadN carries at most 255 bytes.
        let mut at = 1;
        rest[0] = units;
        while at < rest.len() {
            let fill = (rest.len() - at).min(257);
            // One byte that is left over is Pad1, which is 0.
            if fill > 1 {
                (rest[at], rest[at + 1]) = (1, (fill - 2) as u8);
            }
            at += fill;
        }
        self.with(header, rest)
    }

    pub(crate) fn routing(self, kind: u8, segments_left: u8) -> Self {
        let mut rest = vec![2, kind, segments_left, 0, 0, 0, 0];
        rest.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
        self.with(ROUTING, rest)
    }

    /// `offset` counts units of eight bytes.
    pub(crate) fn fragment(self, offset: u16, more: bool, reserved: u8) -> Self {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        self.with(FRAGMENT, vec![reserved, high, low, 0, 0, 0x12, 0x34])
    }

    /// `words` of four bytes, the fixed three included.
    pub(crate) fn authentication(self, words: u8) -> Self {
        let mut rest = vec![0; usize::from(words) * 4 - 1];
        rest[0] = words - 2;
        self.with(AUTHENTICATION, rest)
    }

    /// The first header's number, and the chain before a payload of this protocol.
    pub(crate) fn before(&self, protocol: u8, payload: &[u8]) -> (u8, Vec<u8>) {
        let nexts = self.0.iter().skip(1).map(|(header, _)| *header).chain([protocol]);
        let mut bytes = Vec::new();
        for ((_, rest), next) in self.0.iter().zip(nexts) {
            bytes.push(next);
            bytes.extend(rest);
        }
        bytes.extend(payload);
        (self.0.first().map_or(protocol, |(header, _)| *header), bytes)
    }

    pub(crate) fn frame(&self, source: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (next, bytes) = self.before(protocol, payload);
        V6::new(source, to, next).frame(&bytes)
    }
}

/// A TCP segment (RFC 9293 section 3.1) with nine bits of flags, and 12 bytes of data where it is no SYN.
pub(crate) fn tcp(source: IpAddr, to: IpAddr, port: u16, flags: u16) -> Vec<u8> {
    let mut segment = [FROM_PORT.to_be_bytes(), port.to_be_bytes()].concat();
    segment.extend([0, 0, 0x10, 0, 0, 0, 0, 0]);
    segment.extend((5 << 12 | flags).to_be_bytes());
    segment.extend([0xfa, 0xf0, 0, 0, 0, 0]);
    if flags & SYN == 0 {
        segment.extend(b"A-ASSOCIATE!");
    }
    seal(source, to, TCP, &mut segment, 16);
    segment
}

/// A UDP datagram (RFC 768).
pub(crate) fn udp(source: IpAddr, to: IpAddr, port: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = [FROM_PORT.to_be_bytes(), port.to_be_bytes()].concat();
    datagram.extend((8 + data.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    seal(source, to, UDP, &mut datagram, 6);
    datagram
}

/// Writes the checksum with the pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1.
fn seal(source: IpAddr, to: IpAddr, protocol: u8, segment: &mut [u8], at: usize) {
    let mut summed = octets(source);
    summed.extend(octets(to));
    summed.extend((segment.len() as u32).to_be_bytes());
    summed.extend([0, 0, 0, protocol]);
    summed.extend(&*segment);
    let sum = checksum(&summed);
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) of bytes whose own checksum field is 0.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
