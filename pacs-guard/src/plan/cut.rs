//! Who would be cut: connections of now whose packets the new policy would drop.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use pacs_guard_common::verdict::{Verdict, judge};
use serde::Serialize;

use crate::{
    explain::Explanation,
    image::{Image, Ledger},
    policy::model::Policy,
};

/// A connection that the new policy would cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// The peer's address and port.
    pub peer: SocketAddr,
    /// The address and port here.
    pub local: SocketAddr,
    /// Why its packets would be dropped.
    pub because: Explanation,
}

/// The connections, each as local and peer address, whose packets the new image drops and the old one does not.
pub fn cut(
    connections: &[(SocketAddr, SocketAddr)],
    old: Option<&Image>,
    (new, ledger, policy): (&Image, &Ledger, &Policy),
) -> Vec<Cut> {
    let drops = |image: &Image, frame: &[u8]| judge(&frame, image).ruling.verdict == Verdict::Drop;
    let cut = |(local, peer): &(SocketAddr, SocketAddr)| {
        // What a host says to itself goes over loopback, past every card.
        if peer.ip() == local.ip() || peer.ip().is_loopback() {
            return None;
        }
        let frame = segment(*peer, *local)?;
        let judgement = judge(&frame.as_slice(), new);
        let spared = judgement.ruling.verdict != Verdict::Drop;
        if spared || old.is_some_and(|old| drops(old, &frame)) {
            return None;
        }
        let booking = ledger.booking(judgement.ruling.counter)?;
        Some(Cut { peer: *peer, local: *local, because: Explanation::new(judgement.packet, booking, policy) })
    };
    connections.iter().filter_map(cut).collect()
}

/// A packet of an established connection.
fn segment(from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => return None,
    };
    let mut frame = Vec::new();
    ip.tcp(from.port(), to.port(), 0, 64_240).ack(0).write(&mut frame, &[]).ok()?;
    Some(frame)
}
