//! Loads: which frames, from which sources, and what becomes of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::build::{
    ACK, CTAG, DESTINATION, FROM_PORT, IPV4, IPV6, MACS, STAG, SYN, TCP, UDP, V4, V6, ethernet, tcp,
};

/// Which sources the generator puts into the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// What the frame says.
    AsWritten,
    /// Always the same one, of so many prefixes.
    Hot(u64),
    /// Another one for each frame, of so many prefixes.
    Random(u64),
}

/// What runs.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) family: u8,
    pub(crate) frame: Vec<u8>,
    pub(crate) sources: Sources,
    /// Whether the sources lie in no prefix.
    pub(crate) stranger: bool,
    /// 0 where it passes unjudged, 1 where it is allowed, 2 where it is dropped.
    pub(crate) outcome: usize,
    /// Whether contenders that know only plain frames run it too.
    pub(crate) plain: bool,
}

pub(crate) const FROM4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const TO4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const FROM6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const TO6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn packet(family: u8, port: u16, flags: u16) -> (u16, Vec<u8>) {
    if family == 4 {
        (IPV4, V4::new(FROM4, TO4, TCP).packet(&tcp(FROM4.into(), TO4.into(), port, flags)))
    } else {
        (IPV6, V6::new(FROM6, TO6, TCP).packet(&tcp(FROM6.into(), TO6.into(), port, flags)))
    }
}

fn frame(tags: &[(u16, u16)], (ether_type, packet): (u16, Vec<u8>)) -> Vec<u8> {
    ethernet(tags, ether_type, &packet)
}

/// Loads whose cost does not depend on the size of the policy. The frames' own source is in no prefix.
pub(crate) fn of_any_size() -> Vec<Load> {
    let load = |name, family, frame, outcome, plain| Load {
        name,
        family,
        frame,
        sources: Sources::AsWritten,
        stranger: false,
        outcome,
        plain,
    };
    let mut arp = MACS.concat();
    arp.extend([8, 6]);
    arp.resize(60, 0);
    let datagram = [FROM_PORT.to_be_bytes(), 104_u16.to_be_bytes(), [0, 8], [0, 0]].concat();
    let udp = ethernet(&[], IPV4, &V4::new(FROM4, TO4, UDP).packet(&datagram));
    let options = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &tcp(FROM6.into(), TO6.into(), 104, SYN)].concat();
    let chain = ethernet(&[], IPV6, &V6::new(FROM6, TO6, DESTINATION).packet(&options));
    vec![
        load("not IP", 4, arp, 0, true),
        load("UDP", 4, udp, 0, true),
        load("TCP, another port", 4, frame(&[], packet(4, 22, SYN)), 0, true),
        load("TCP, another port", 6, frame(&[], packet(6, 22, SYN)), 0, true),
        load("refused, one VLAN tag", 4, frame(&[(CTAG, 5)], packet(4, 104, SYN)), 2, true),
        load("refused, two VLAN tags", 4, frame(&[(STAG, 5), (CTAG, 6)], packet(4, 104, SYN)), 2, true),
        load("refused, extension header", 6, chain, 2, false),
    ]
}

/// Loads to a protected port, with so many prefixes in the policy. Who begins an allowed connection is remembered, and
/// its other packets are what a connection costs.
pub(crate) fn of_size(family: u8, count: u64) -> Vec<Load> {
    let load = |name, flags, sources, stranger| Load {
        name,
        family,
        frame: frame(&[], packet(family, 104, flags)),
        sources,
        stranger,
        outcome: if stranger { 2 } else { 1 },
        plain: true,
    };
    vec![
        load("allowed, hot", ACK, Sources::Hot(count), false),
        load("allowed, hot, first packet", SYN, Sources::Hot(count), false),
        load("allowed, random", ACK, Sources::Random(count), false),
        load("refused, random, events on", SYN, Sources::Random(count), true),
    ]
}
