//! What a captured frame shows of a source: by the parser that the kernel runs.

use std::net::IpAddr;

use jiff::Timestamp;
use pacs_guard_common::packet::{Content, Parsed, opens, parse, titles};

use super::{Association, Sighting, Sightings};

/// Books a frame to one of the ports, and only of those to one of the addresses, where any are named. Replies and
/// everything else are left out.
pub fn observe(
    frame: &[u8],
    when: Option<Timestamp>,
    is_service: impl Fn(u8, u16) -> bool,
    is_ours: impl Fn(IpAddr) -> bool,
    seen: &mut Sightings,
) {
    let Parsed { packet, content: Content::Ports(_) } = parse(&frame) else { return };
    let (Some(source), Some(to)) = (packet.source.to_ip(), packet.destination.to_ip()) else { return };
    if !is_service(packet.protocol, packet.destination_port) || !is_ours(to) {
        return;
    }
    let mut sighting = Sighting {
        packets: Some(1),
        connections: u64::from(opens(&frame, &packet)),
        ..Sighting::new(source, packet.destination_port, packet.protocol, when)
    };
    if let Some(association) = titles(&frame, &packet).as_ref().and_then(Association::read) {
        sighting.associate(association);
    }
    seen.add(sighting);
}
