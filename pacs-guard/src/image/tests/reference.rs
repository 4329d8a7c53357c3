//! The verdict as the design's text has it: a linear scan over the segments.

use std::net::IpAddr;

use jiff::Timestamp;
use pacs_guard_common::verdict::{Reason, Verdict};

use super::name;
use crate::{
    image::Booking,
    policy::model::{Mode, Policy, Segment, Transport},
};

/// How long a segment's most specific prefix over an address is; `None` where the address is not in it.
fn specificity(segment: &Segment, address: IpAddr) -> Option<u8> {
    if segment.except.iter().any(|except| except.prefix.contains(&address)) {
        return None;
    }
    let covering = segment.sources.iter().filter(|source| source.prefix.contains(&address));
    covering.map(|source| source.prefix.prefix_len()).max()
}

/// What a whole packet to a port is booked on at a time.
pub(super) fn judge(
    policy: &Policy,
    (source, to): (IpAddr, IpAddr),
    transport: Transport,
    port: u16,
    at: Timestamp,
) -> Booking {
    let pass = |reason| Booking { segment: None, service: None, reason, verdict: Verdict::Pass };
    if transport == Transport::Udp
        && policy.services.iter().all(|service| service.transport == Transport::Tcp)
    {
        return pass(Reason::NotTcp);
    }
    let asked = policy.services.iter().position(|service| {
        service.transport == transport
            && service.ports.iter().any(|range| range.contains(&port))
            && (service.addresses.is_empty() || service.addresses.iter().any(|net| net.contains(&to)))
    });
    let Some(asked) = asked else { return pass(Reason::NotProtected) };
    let service = &policy.services[asked];

    let live = policy.segments.iter().filter(|segment| segment.until.is_none_or(|until| at < until));
    let mut members: Vec<(u8, &Segment)> =
        live.filter_map(|segment| Some((specificity(segment, source)?, segment))).collect();
    // Stable: of equal prefixes the segment that the file declares first comes first.
    members.sort_by_key(|(length, _)| 255 - length);
    let granting = members.iter().find(|(_, segment)| segment.services.contains(&asked));
    let (segment, reason) = match (granting, members.first()) {
        (Some((_, segment)), _) => (Some(segment), Reason::Allowed),
        (None, Some((_, segment))) => (Some(segment), Reason::ServiceNotAllowed),
        (None, None) => (None, Reason::NotInSegment),
    };
    let mode = members.iter().find_map(|(_, segment)| segment.mode).or(service.mode).unwrap_or(policy.mode);
    let verdict = match (reason, mode) {
        (Reason::Allowed, _) => Verdict::Allow,
        (_, Mode::Enforce) => Verdict::Drop,
        (_, Mode::Audit) => Verdict::WouldDrop,
    };
    let segment = segment.and_then(|segment| name(&segment.name));
    Booking { segment, service: name(&service.name), reason, verdict }
}

/// Whether a refusal that was booked so is answered with a reset.
pub(super) fn resets(policy: &Policy, source: IpAddr, booking: &Booking) -> bool {
    let service = policy.services.iter().find(|service| booking.service == name(&service.name));
    booking.verdict == Verdict::Drop
        && service.is_some_and(|service| service.reset_to.iter().any(|net| net.contains(&source)))
}

/// The strictest mode that a policy states anywhere.
pub(super) fn strictest(policy: &Policy) -> Mode {
    let mut stated = vec![policy.mode];
    stated.extend(policy.services.iter().filter_map(|service| service.mode));
    stated.extend(policy.segments.iter().filter_map(|segment| segment.mode));
    if stated.contains(&Mode::Enforce) { Mode::Enforce } else { Mode::Audit }
}
