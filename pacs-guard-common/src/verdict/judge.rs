//! The order of the verdict, from a frame to a ruling.

use super::{PolicyView, Reason, Verdict};
use crate::{
    abi::{Ruling, TCP_PORTS},
    packet::{Cause, Content, Frame, Packet, Parsed, Transport, goes_on, parse},
};

/// A frame judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What the parser found, as far as it came.
    pub packet: Packet,
    /// What happens to the frame.
    pub ruling: Ruling,
}

/// Judges a frame by a policy.
///
/// The port test comes before any source look-up, so that ordinary traffic never pays for the policy. A view
/// that holds no whole policy passes the frame as [`Reason::NoPolicy`].
#[inline(always)]
pub fn judge<F: Frame, V: PolicyView>(frame: &F, view: &V) -> Judgement {
    let Parsed { packet, content } = parse(frame);
    let ruling = rule(frame, &packet, content, view).unwrap_or(const { Ruling::pass(Reason::NoPolicy) });
    Judgement { packet, ruling }
}

#[inline(always)]
fn rule<F: Frame, V: PolicyView>(frame: &F, packet: &Packet, content: Content, view: &V) -> Option<Ruling> {
    let entry = match content {
        Content::NotIp => return Some(Ruling::pass(Reason::NotIp)),
        Content::OtherProtocol => return Some(Ruling::pass(Reason::NotTcp)),
        Content::LaterFragment => return Some(Ruling::pass(Reason::FragmentWithoutPort)),
        Content::Unparsed(cause) => return view.unparsed(&view.header()?, cause),
        Content::Ports(Transport::Tcp) => view.port_service(TCP_PORTS, packet.destination_port)?,
        Content::Ports(Transport::Udp) => match view.header()?.udp_ports {
            0 => return Some(Ruling::pass(Reason::NotTcp)),
            table => view.port_service(table, packet.destination_port)?,
        },
    };
    let Some(service) = entry.checked_sub(1) else {
        return Some(Ruling::pass(Reason::NotProtected));
    };
    let header = view.header()?;
    if packet.source_routed {
        let ruling = view.unparsed(&header, Cause::SourceRoute)?;
        if !matches!(ruling.verdict, Verdict::Pass) {
            return Some(ruling);
        }
        // Let pass as a source route, it is still judged by its source. The destination is only the next hop,
        // so it can't tell whether the service is meant.
    } else if !view.covers(&header, service, packet.destination)? {
        return Some(Ruling::pass(Reason::NotProtected));
    }
    view.ruling(&header, packet.source, service, || goes_on(frame, packet))
}
