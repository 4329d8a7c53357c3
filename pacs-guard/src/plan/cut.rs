//! Who would be cut: connections of now, and sources lately seen, whose packets the new policy would drop.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use etherparse::PacketBuilder;
use jiff::Timestamp;
use pacs_guard_common::{
    packet::TCP,
    verdict::{Verdict, judge},
};
use serde::Serialize;

use crate::{
    explain::Explanation,
    first_packet::{first_packet, protected_at},
    host::Connection,
    image::{Image, Ledger},
    policy::model::{Policy, Transport},
    seen::SeenRecord,
};

/// A connection that the new policy would cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// The peer's address and port.
    pub peer: SocketAddr,
    /// The address and port here.
    pub local: SocketAddr,
    /// When something of it came last.
    pub last: Option<Timestamp>,
    /// TCP segments that came by this connection (TCP_INFO, tcpi_segs_in), where the kernel says so.
    pub packets: Option<u32>,
    /// Connections that its source began since it is kept among the sources lately seen.
    pub connections: Option<u64>,
    /// The segment that grants it the service now.
    pub loses: Option<Arc<str>>,
    /// Why its packets would be dropped.
    pub because: Explanation,
}

/// A source that was lately let in, is not connected now, and would be let in no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// Its address.
    pub source: IpAddr,
    /// The port that it asked for.
    pub port: u16,
    /// IP protocol number of the port.
    pub protocol: u8,
    /// When it was seen first, since it is kept.
    pub first: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// Connections that it began in between; of UDP, packets that were recorded.
    pub connections: u64,
    /// The segment that grants it the service now.
    pub loses: Option<Arc<str>>,
    /// Why its packets would be dropped.
    pub because: Explanation,
}

/// The step from one policy to the next, each with the ledger that its counters are booked in.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// What is in force; `None` stands for no policy, under which everything passes.
    pub old: Option<(&'a Image, &'a Ledger)>,
    /// The new image.
    pub new: (&'a Image, &'a Ledger),
    /// The policy that the new image was made from.
    pub policy: &'a Policy,
}

impl Step<'_> {
    /// The connections whose packets the new policy drops and the old one does not.
    pub fn cuts(&self, connections: &[Connection], seen: &[SeenRecord]) -> Vec<Cut> {
        let cut = |connection: &Connection| {
            let (local, peer) = (connection.local, connection.peer);
            // What a host says to itself goes over loopback, past every card.
            if peer.ip() == local.ip() || peer.ip().is_loopback() {
                return None;
            }
            let (because, loses) = self.closes(&segment(peer, local)?)?;
            let of_source = |seen: &&SeenRecord| {
                (seen.source, seen.port, seen.protocol) == (peer.ip(), local.port(), TCP)
            };
            Some(Cut {
                peer,
                local,
                last: connection.last_heard.and_then(|ago| Timestamp::now().checked_sub(ago).ok()),
                packets: connection.packets,
                connections: seen.iter().find(of_source).map(|seen| seen.connections),
                loses,
                because,
            })
        };
        connections.iter().filter_map(cut).collect()
    }

    /// The sources lately seen that the new policy refuses and the old one does not, the latest first, without those
    /// that are cut anyway.
    pub fn losses(&self, seen: &[SeenRecord], cuts: &[Cut]) -> Vec<Lost> {
        let cut = cuts.iter().map(|cut| (cut.peer.ip(), cut.local.port(), TCP));
        let mut told: HashSet<(IpAddr, u16, u8)> = cut.collect();
        let mut latest: Vec<&SeenRecord> = seen.iter().collect();
        latest.sort_by_key(|seen| std::cmp::Reverse(seen.last));
        let lost = |seen: &SeenRecord| {
            let SeenRecord { source, port, protocol, first, last, connections, .. } = *seen;
            let transport = if protocol == TCP { Transport::Tcp } else { Transport::Udp };
            let to = protected_at(self.policy, source, transport, port);
            let (because, loses) = self.closes(&first_packet(source, to, transport, port)?)?;
            told.insert((source, port, protocol)).then_some(Lost {
                source,
                port,
                protocol,
                first,
                last,
                connections,
                loses,
                because,
            })
        };
        latest.into_iter().filter_map(lost).collect()
    }

    /// Why the new policy drops a frame, and the segment that grants it now; `None` where it does not, or where the
    /// old one does so too.
    fn closes(&self, frame: &[u8]) -> Option<(Explanation, Option<Arc<str>>)> {
        let (image, ledger) = self.new;
        let judgement = judge(&frame, image);
        if judgement.ruling.verdict != Verdict::Drop {
            return None;
        }
        let old = self.old.map(|(image, ledger)| (judge(&frame, image).ruling, ledger));
        if old.is_some_and(|(ruling, _)| ruling.verdict == Verdict::Drop) {
            return None;
        }
        let granted = old.filter(|(ruling, _)| ruling.verdict == Verdict::Allow);
        let loses = granted.and_then(|(ruling, ledger)| ledger.booking(ruling.counter)?.segment);
        let booking = ledger.booking(judgement.ruling.counter)?;
        Some((Explanation::new(judgement.packet, booking, self.policy), loses))
    }
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
