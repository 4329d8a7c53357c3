//! The frames: valid header chains that Linux would deliver, then mutations of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    dice::Dice,
    headers::{TCP, UDP, fragment_header, ipv4, ipv6, reseal_ipv4, sealed, tcp, udp},
};

pub(crate) const SENDER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const PACS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The addresses of the host under test, each of them its own.
pub(crate) const PACS4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 0, 2), Ipv4Addr::new(192, 168, 0, 3)];
pub(crate) const PACS6: Ipv6Addr = Ipv6Addr::new(0xfd76, 0, 0, 0, 0, 0, 0, 2);
/// The ports that the policy protects, and ports that it does not; something listens on each.
pub(crate) const PROTECTED_TCP: u16 = 104;
pub(crate) const PROTECTED_UDP: u16 = 5104;
pub(crate) const OPEN_TCP: u16 = 80;
pub(crate) const OPEN_UDP: u16 = 5080;
/// One packet, whole or in fragments, from a source that no other packet has.
pub(crate) struct Case {
    pub(crate) number: u32,
    /// What is special about it, from a closed list; nothing where it is plain.
    pub(crate) traits: Vec<&'static str>,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// Cases that have a source address of their own: half of 10.0.0.0/8.
const MOST: u32 = 1 << 23;

/// A source for a case, in the allowlist or not.
fn source(number: u32, six: bool, refused: bool) -> IpAddr {
    assert!(number < MOST, "too many cases for one run");
    if six {
        Ipv6Addr::from_bits(if refused { 0xfd77 } else { 0xfd78 } << 112 | u128::from(number)).into()
    } else {
        Ipv4Addr::from_bits(if refused { 10 << 24 } else { 10 << 24 | MOST } | number).into()
    }
}

/// The case that a source belongs to, and whether the allowlist leaves it out.
pub(crate) fn read_source(source: IpAddr) -> (u32, bool) {
    match source {
        IpAddr::V4(address) => (address.to_bits() & (MOST - 1), address.to_bits() & MOST == 0),
        IpAddr::V6(address) => (address.to_bits() as u32, address.segments()[0] == 0xfd77),
    }
}

/// Makes a case; the same one for the same seed and number.
pub(crate) fn case(seed: u64, number: u32) -> Case {
    let mut maker = Maker { dice: Dice::new(seed, number), number, traits: Vec::new() };
    let dice = &mut maker.dice;
    let (six, refused) = (dice.percent(50), dice.percent(80));
    let source = source(number, six, refused);
    let destination = if six { PACS6.into() } else { dice.pick(&PACS4).into() };
    let protocol = if dice.percent(70) { TCP } else { UDP };
    let ends = (source, destination);
    let mut packets = if six { maker.packets6(protocol, ends) } else { maker.packets4(protocol, ends) };
    if maker.dice.percent(40) {
        maker.mutate(&mut packets, six);
    }
    let frames = packets.into_iter().map(|packet| maker.frame(packet, six)).collect();
    Case { number, traits: maker.traits, frames }
}

struct Maker {
    dice: Dice,
    number: u32,
    traits: Vec<&'static str>,
}

impl Maker {
    fn is(&mut self, what: &'static str) {
        if !self.traits.contains(&what) {
            self.traits.push(what);
        }
    }

    /// A segment or datagram to a protected port or an open one.
    fn transport(&mut self, protocol: u8, ends: (IpAddr, IpAddr), open: bool) -> Vec<u8> {
        // A peer's own DICOM port may ask too.
        let source = if self.dice.percent(10) { PROTECTED_TCP } else { self.dice.next() as u16 | 1 };
        let long = self.dice.percent(20);
        let length = self.dice.below(if long { 900 } else { 40 });
        let payload = self.dice.bytes(length);
        let bytes = if protocol == TCP {
            // Mostly a SYN, else any set of flags.
            let flags = if self.dice.percent(60) { 0x02 } else { self.dice.byte() };
            let options: &[u8] =
                self.dice.pick(&[&[][..], &[2, 4, 5, 180], &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0], &[0; 40]]);
            let port = if open { OPEN_TCP } else { PROTECTED_TCP };
            tcp((source, port), self.number, flags, options, &payload)
        } else {
            udp((source, if open { OPEN_UDP } else { PROTECTED_UDP }), &payload)
        };
        sealed(protocol, ends.0, ends.1, bytes)
    }

    fn packets4(&mut self, protocol: u8, mut ends: (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
        if protocol == UDP && self.dice.percent(5) {
            self.is("broadcast");
            ends.1 = self.dice.pick(&[[255; 4], [192, 168, 255, 255], [224, 0, 0, 1]]).into();
        }
        let open = self.dice.percent(50);
        let mut final_ends = ends;
        let options = if self.dice.percent(40) { self.options(&mut final_ends) } else { Vec::new() };
        let segment = self.transport(protocol, final_ends, open);
        let id = self.dice.next() as u16;
        if !self.dice.percent(40) {
            let dont = self.dice.pick(&[0, 0x4000, 0x8000]);
            return vec![ipv4(ends, protocol, id, dont, &options, &segment)];
        }
        let pieces = self.pieces(&segment, protocol, final_ends);
        // Only the first fragment needs the options, and any may have them.
        let mut packet = |piece: Piece| {
            let has = piece.offset == 0 || self.dice.percent(20);
            let options = if has { options.as_slice() } else { &[] };
            let word = piece.offset | if piece.more { 0x2000 } else { 0 };
            ipv4(ends, protocol, id, word, options, &piece.bytes)
        };
        pieces.into_iter().map(&mut packet).collect()
    }

    /// IPv4 options, padded to whole words (RFC 791 section 3.1).
    fn options(&mut self, ends: &mut (IpAddr, IpAddr)) -> Vec<u8> {
        self.is("options");
        let mut bytes = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let option: Vec<u8> = match self.dice.below(8) {
                0 => vec![1; 1 + self.dice.below(8)],
                1 => vec![7, 7, 4, 0, 0, 0, 0],
                2 => vec![68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                3 => vec![148, 4, 0, 0],
                4 => vec![130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                5 => vec![self.dice.byte(), self.dice.byte()],
                6 => vec![0],
                _ => {
                    let hop = self.dice.pick(&PACS4).octets();
                    [&[self.dice.pick(&[131, 137]), 7, self.dice.pick(&[4, 8])], &hop[..]].concat()
                }
            };
            if bytes.len() + option.len() > 40 {
                break;
            }
            if let [131 | 137, 7, pointer, hop @ ..] = option.as_slice() {
                self.is("source-route");
                // Linux walks it to its last address, its own, and delivers there.
                if *pointer == 4 {
                    ends.1 = <[u8; 4]>::try_from(hop).unwrap().into();
                }
            }
            bytes.extend(option);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn packets6(&mut self, protocol: u8, mut ends: (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
        if protocol == UDP && self.dice.percent(5) {
            self.is("broadcast");
            ends.1 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into();
        }
        let open = self.dice.percent(50);
        let segment = self.transport(protocol, ends, open);
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        if self.dice.percent(45) {
            self.is("extension-headers");
            // A long chain is one that Linux walks to its end, so that the bound is all that stops it.
            let long = self.dice.percent(10);
            for place in 0..=self.dice.below(if long { 12 } else { 3 }) {
                inner.push(if long { options6(60, place % 2) } else { self.extension(place == 0) });
            }
        }
        if !self.dice.percent(40) {
            let (next, body) = chain(&inner, protocol, segment);
            return vec![ipv6(ends, next, &body)];
        }
        // Headers before the fragment header are in every fragment, those behind it are cut with the rest.
        if self.dice.percent(50) {
            std::mem::swap(&mut inner, &mut outer);
        }
        let (first, body) = chain(&inner, protocol, segment);
        let id = self.dice.next() as u32;
        if self.dice.percent(20) {
            self.is("atomic");
            let header = fragment_header(first, self.dice.byte(), 0, false, id);
            let (next, body) = chain(&outer, 44, [header, body].concat());
            return vec![ipv6(ends, next, &body)];
        }
        let pieces = self.pieces(&body, first, ends);
        let mut packet = |piece: Piece| {
            // Linux takes the next header from the first fragment only.
            let lies = piece.offset > 0 && self.dice.percent(20);
            let next = if lies { self.dice.pick(&[59, 58, 60, 6, 17, 99]) } else { first };
            let header = fragment_header(next, self.dice.byte(), piece.offset, piece.more, id);
            let (next, body) = chain(&outer, 44, [header, piece.bytes].concat());
            ipv6(ends, next, &body)
        };
        pieces.into_iter().map(&mut packet).collect()
    }

    /// An extension header: its type, and its bytes without the first, which names the header behind it.
    fn extension(&mut self, may_be_hop_by_hop: bool) -> (u8, Vec<u8>) {
        let units = if self.dice.percent(90) { self.dice.below(3) } else { self.dice.below(20) };
        match self.dice.below(9) {
            0 | 1 if may_be_hop_by_hop => options6(0, units),
            2 => {
                self.is("authentication");
                (51, [vec![4, 0, 0], self.dice.bytes(20)].concat())
            }
            3 | 4 => {
                self.is("routing");
                let kind = self.dice.pick(&[0, 1, 2, 3, 4, 253]);
                let left = u8::from(self.dice.percent(20));
                let mut bytes = vec![2, kind, left, 0, 0, 0, 0];
                bytes.extend(PACS6.octets());
                (43, bytes)
            }
            5 if self.dice.percent(30) => {
                let mut header = fragment_header(0, self.dice.byte(), 0, false, self.number);
                header.remove(0);
                (44, header)
            }
            _ => options6(60, units),
        }
    }

    /// Cuts a body into fragments: in order or not, whole or with what an attacker would add and leave out.
    fn pieces(&mut self, body: &[u8], next: u8, ends: (IpAddr, IpAddr)) -> Vec<Piece> {
        self.is("fragments");
        let tiny = self.dice.percent(15);
        let unit = if tiny { 8 } else { 8 * (1 + self.dice.below(8)) };
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < body.len() {
            // No more than a dozen pieces.
            let size = if pieces.len() < 11 { unit } else { body.len() };
            let end = (at + size).min(body.len());
            pieces.push(Piece {
                offset: (at / 8) as u16,
                more: end < body.len(),
                bytes: body[at..end].to_vec(),
            });
            at = end;
        }
        if self.dice.percent(50) {
            self.dice.shuffle(&mut pieces);
        }
        match self.dice.below(10) {
            // An overlap that Linux refuses, or a duplicate that it ignores.
            0 => {
                self.is("overlap");
                let mut more = self.dice.pick_piece(&pieces);
                let index = self.dice.below(more.bytes.len());
                more.bytes[index] ^= self.dice.byte();
                pieces.push(more);
            }
            // Another beginning: to the other port, or to the same.
            1 if next == TCP || next == UDP => {
                self.is("two-beginnings");
                let open = self.dice.percent(50);
                let other = self.transport(next, ends, open);
                let length = unit.min(other.len());
                let at = self.dice.below(pieces.len() + 1);
                pieces.insert(at, Piece { offset: 0, more: true, bytes: other[..length].to_vec() });
            }
            2 => {
                self.is("gap");
                let at = self.dice.below(pieces.len());
                pieces.remove(at);
            }
            3 => {
                self.is("overlap");
                let offset = self.dice.pick(&[0, 1, 2]);
                let bytes = self.dice.bytes(16);
                pieces.push(Piece { offset, more: self.dice.percent(50), bytes });
            }
            _ => {}
        }
        pieces
    }

    /// Breaks something in the IP packets. What names the case, the source address, stays.
    fn mutate(&mut self, packets: &mut [Vec<u8>], six: bool) {
        self.is("mutated");
        for _ in 0..=self.dice.below(2) {
            let chosen = self.dice.below(packets.len().max(1));
            let Some(packet) = packets.get_mut(chosen) else { return };
            let source = if six { 8..24 } else { 12..16 };
            let kept = packet.get(source.clone()).map(<[u8]>::to_vec);
            match self.dice.below(7) {
                0 | 1 => {
                    let at = self.dice.below(packet.len());
                    packet[at] ^= 1 << self.dice.below(8);
                }
                2 => {
                    let at = self.dice.below(packet.len().min(60));
                    packet[at] = self.dice.byte();
                }
                3 => packet.truncate(1 + self.dice.below(packet.len())),
                4 => packet.extend(vec![self.dice.byte(); self.dice.below(60)]),
                // The length fields: a bit more, a bit less, nothing.
                5 => {
                    let at = if six { 5 } else { 3 };
                    if let Some(length) = packet.get_mut(at) {
                        *length = self.dice.pick(&[0, length.wrapping_add(1), length.wrapping_sub(1), 20]);
                    }
                }
                _ if six => packet[0] = self.dice.byte(),
                _ => packet[0] = self.dice.pick(&[0x44, 0x46, 0x4f, 0x55, 0x65, 0x40]),
            }
            if let (Some(kept), Some(place)) = (kept, packet.get_mut(source)) {
                place.copy_from_slice(&kept);
            }
            if !six && self.dice.percent(70) {
                reseal_ipv4(packet);
            }
        }
    }

    /// The packet in an Ethernet frame, with up to three VLAN tags.
    fn frame(&mut self, packet: Vec<u8>, six: bool) -> Vec<u8> {
        let mac =
            if self.dice.percent(97) { PACS_MAC } else { self.dice.pick(&[[0xff; 6], [2, 0, 0, 0, 0, 9]]) };
        let mut frame = [mac, SENDER_MAC].concat();
        let tags = if self.dice.percent(70) { 0 } else { 1 + self.dice.below(3) };
        for _ in 0..tags {
            // VLAN 0 is no VLAN but a priority, and Linux takes it off whether it knows VLANs or not.
            let vlan = if self.dice.percent(90) { 0 } else { self.dice.next() as u16 & 0x0fff };
            self.is(["priority-tag", "vlan"][usize::from(vlan > 0)]);
            let kind = if self.dice.percent(80) { 0x8100_u16 } else { 0x88a8 };
            frame.extend(kind.to_be_bytes());
            frame.extend((u16::from(self.dice.byte()) << 12 | vlan).to_be_bytes());
        }
        let ether_type: u16 = if six { 0x86dd } else { 0x0800 };
        frame.extend(ether_type.to_be_bytes());
        frame.extend(packet);
        frame
    }
}

/// A fragment's share of a packet; the offset in units of eight bytes.
#[derive(Clone)]
struct Piece {
    offset: u16,
    more: bool,
    bytes: Vec<u8>,
}

impl Dice {
    fn pick_piece(&mut self, pieces: &[Piece]) -> Piece {
        pieces[self.below(pieces.len())].clone()
    }
}

/// An extension header with one option for experiments, which a host skips (RFC 4727). Padding as long as that Linux
/// would drop.
fn options6(kind: u8, units: usize) -> (u8, Vec<u8>) {
    let mut bytes = vec![units as u8, 0x1e, units as u8 * 8 + 4];
    bytes.resize(7 + units * 8, 0);
    (kind, bytes)
}

/// Sets extension headers before a body of the type `last`; returns the type of the first.
fn chain(headers: &[(u8, Vec<u8>)], last: u8, body: Vec<u8>) -> (u8, Vec<u8>) {
    headers.iter().rev().fold((last, body), |(next, body), (kind, rest)| {
        (*kind, [&[next], rest.as_slice(), body.as_slice()].concat())
    })
}
