//! The answer to a refused connection: a TCP RST (RFC 9293 section 3.10.7.1).
//!
//! It is made in the frame itself, word by word: the kernel's stack of 512 bytes has no room for a copy.

use super::{
    Frame, FrameMut,
    ethernet::{self, Ethernet},
    parse::TCP,
};

const SYN: u32 = 0x02;
/// FIN, SYN, RST and ACK: of these, only SYN is set in the first packet of a connection.
const CONTROL: u32 = 0x17;
/// A header of five words, RST and ACK, and no window.
const RST_ACK: u32 = 0x5014_0000;
/// More fragments, and the offset.
const FRAGMENT: u32 = 0x3fff;
const DO_NOT_FRAGMENT: u32 = 0x4000;
const HOP_LIMIT: u32 = 64;
/// Bytes of a TCP header without options.
const TCP_LENGTH: u32 = 20;

/// A SYN that may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syn {
    /// Over IPv4; the IP header starts here.
    V4(usize),
    /// Over IPv6; the IP header starts here.
    V6(usize),
}

impl Syn {
    /// Finds the SYN in a frame; `None` where it is none, or one that is better left unanswered.
    ///
    /// That is: IP options, extension headers and fragments, for honest peers send none with a SYN, and a
    /// destination that no host has for itself.
    #[inline(always)]
    pub fn find<F: Frame>(frame: &F) -> Option<Self> {
        let (syn, tcp) = match ethernet::read(frame).ok()? {
            Ethernet::Ipv4(at) => {
                let word = |index| word(frame, at, index);
                let plain = word(0)? >> 24 == 0x45 && word(1)? & FRAGMENT == 0;
                if !plain || word(2)? >> 16 & 0xff != TCP as u32 || word(4)? >> 28 >= 0xe {
                    return None;
                }
                (Self::V4(at), at + 20)
            }
            Ethernet::Ipv6(at) => {
                if word(frame, at, 1)? >> 8 & 0xff != TCP as u32 || word(frame, at, 6)? >> 24 == 0xff {
                    return None;
                }
                (Self::V6(at), at + 40)
            }
            Ethernet::NotIp => return None,
        };
        // A header that is cut is no SYN.
        word(frame, tcp, 4)?;
        (word(frame, tcp, 3)? >> 16 & CONTROL == SYN).then_some(syn)
    }

    /// Turns the frame into the answer. Where it answers `None`, the frame is spoilt and must be dropped.
    #[inline(always)]
    pub fn answer<F: FrameMut>(self, frame: &mut F) -> Option<()> {
        let [d1, d2, d3, d4, d5, d6, s1, s2, s3, s4, s5, s6]: [u8; 12] = frame.read(0)?;
        frame.write(0, [s1, s2, s3, s4, s5, s6, d1, d2, d3, d4, d5, d6])?;
        match self {
            Self::V4(at) => {
                // Padded to the shortest frame that Ethernet knows.
                frame.resize(at + 46)?;
                frame.write(at + 40, [0; 6])?;
                let addresses = swap(frame, at, 3, 4)?;
                let head =
                    [0x4500_0000 | (20 + TCP_LENGTH), DO_NOT_FRAGMENT, HOP_LIMIT << 24 | (TCP as u32) << 16];
                let [first, second, third] = head;
                set(frame, at, 0, first)?;
                set(frame, at, 1, second)?;
                set(frame, at, 2, third | checksum(sum(first) + sum(second) + sum(third) + addresses))?;
                answer_tcp(frame, at + 20, addresses)
            }
            Self::V6(at) => {
                frame.resize(at + 60)?;
                let addresses = swap(frame, at, 2, 6)? + swap(frame, at, 3, 7)?;
                let addresses = addresses + swap(frame, at, 4, 8)? + swap(frame, at, 5, 9)?;
                set(frame, at, 0, 0x6000_0000)?;
                set(frame, at, 1, TCP_LENGTH << 16 | (TCP as u32) << 8 | HOP_LIMIT)?;
                answer_tcp(frame, at + 40, addresses)
            }
        }
    }
}

/// Answers in the TCP header; `addresses` is the sum of both addresses, for the pseudo header.
#[inline(always)]
fn answer_tcp<F: FrameMut>(frame: &mut F, at: usize, addresses: u32) -> Option<()> {
    let ports = word(frame, at, 0)?.rotate_left(16);
    let acknowledged = word(frame, at, 1)?.wrapping_add(1);
    let total = addresses + TCP as u32 + TCP_LENGTH + sum(ports) + sum(acknowledged) + sum(RST_ACK);
    set(frame, at, 0, ports)?;
    set(frame, at, 1, 0)?;
    set(frame, at, 2, acknowledged)?;
    set(frame, at, 3, RST_ACK)?;
    set(frame, at, 4, checksum(total) << 16)
}

/// Swaps two words; answers their sum.
#[inline(always)]
fn swap<F: FrameMut>(frame: &mut F, at: usize, one: usize, other: usize) -> Option<u32> {
    let (a, b) = (word(frame, at, one)?, word(frame, at, other)?);
    set(frame, at, one, b)?;
    set(frame, at, other, a)?;
    Some(sum(a) + sum(b))
}

#[inline(always)]
fn word<F: Frame>(frame: &F, at: usize, index: usize) -> Option<u32> {
    frame.read(at + index * 4).map(u32::from_be_bytes)
}

#[inline(always)]
fn set<F: FrameMut>(frame: &mut F, at: usize, index: usize, word: u32) -> Option<()> {
    frame.write(at + index * 4, word.to_be_bytes())
}

/// The two halves of a word in the sum of the Internet checksum (RFC 1071); so few never overflow.
#[inline(always)]
const fn sum(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

#[inline(always)]
const fn checksum(total: u32) -> u32 {
    !sum(sum(total)) & 0xffff
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

    use super::*;
    extern crate std;
    use std::vec::Vec;

    struct Buffer(Vec<u8>);

    impl Frame for Buffer {
        fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
            self.0.as_slice().read(at)
        }

        fn holds(&self, length: usize) -> bool {
            self.0.len() >= length
        }
    }

    impl FrameMut for Buffer {
        fn write<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Option<()> {
            *self.0.get_mut(at..)?.first_chunk_mut()? = bytes;
            Some(())
        }

        fn resize(&mut self, length: usize) -> Option<()> {
            self.0.resize(length, 0xee);
            Some(())
        }
    }

    fn check(syn: &[u8]) {
        let mut buffer = Buffer(syn.to_vec());
        Syn::find(&buffer).expect("a SYN is found").answer(&mut buffer).expect("a SYN is answered");
        let answer = buffer.0;
        assert!(answer.len() >= 60, "no shorter frame than Ethernet knows");
        assert_eq!(answer[..12], [[1; 6], [2; 6]].concat(), "the addresses are swapped");
        assert_eq!(answer[12..14], syn[12..14], "a VLAN tag stays");
        let packet = SlicedPacket::from_ethernet(&answer).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP in the answer") };
        assert!(tcp.rst() && tcp.ack() && !tcp.syn());
        assert_eq!((tcp.source_port(), tcp.destination_port()), (104, 40_000));
        assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (0, 0));
        match packet.net.unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                assert_eq!(ip.header().source_addr().octets(), [10, 0, 0, 2]);
                assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
                let expected =
                    tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap();
                assert_eq!(tcp.checksum(), expected);
            }
            etherparse::NetSlice::Ipv6(ip) => {
                assert_eq!(ip.header().source(), [2; 16]);
                assert_eq!(
                    tcp.checksum(),
                    tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).unwrap()
                );
            }
            other => panic!("{other:?}"),
        }
    }

    fn syn(vlan: bool, v6: bool) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let mut bytes = Vec::new();
        // The sequence number wraps in the answer.
        let write = |ip: etherparse::PacketBuilderStep<etherparse::IpHeaders>, bytes: &mut Vec<u8>| {
            ip.tcp(40_000, 104, u32::MAX, 1024).syn().write(bytes, &[]).unwrap();
        };
        match (vlan, v6) {
            (false, false) => write(ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 7), &mut bytes),
            (true, false) => {
                let vlan = ethernet.single_vlan(5.try_into().unwrap());
                write(vlan.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 7), &mut bytes);
            }
            (false, true) => write(ethernet.ipv6([1; 16], [2; 16], 7), &mut bytes),
            (true, true) => {
                write(ethernet.single_vlan(5.try_into().unwrap()).ipv6([1; 16], [2; 16], 7), &mut bytes);
            }
        }
        bytes
    }

    #[test]
    fn a_syn_is_answered_right() {
        for vlan in [false, true] {
            for v6 in [false, true] {
                check(&syn(vlan, v6));
            }
        }
    }

    #[test]
    fn nothing_but_a_syn_is_answered() {
        let syn = syn(false, false);
        for flags in 0..=u8::MAX {
            let mut other = syn.clone();
            other[14 + 20 + 13] = flags;
            assert_eq!(
                Syn::find(&other.as_slice()).is_some(),
                u32::from(flags) & CONTROL == SYN,
                "flags {flags:#04x}"
            );
        }
        for cut in 0..syn.len() {
            assert_eq!(Syn::find(&&syn[..cut]), None, "cut at {cut}");
        }
        let mut fragment = syn.clone();
        fragment[20] = 0x20;
        assert_eq!(Syn::find(&fragment.as_slice()), None);
        let mut multicast = syn;
        multicast[30] = 224;
        assert_eq!(Syn::find(&multicast.as_slice()), None);
    }
}
