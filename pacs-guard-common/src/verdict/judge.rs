//! The order of the verdict, from a frame to a ruling.

use super::{PolicyView, Reason, Verdict};
use crate::{
    abi::{Ruling, TCP_PORTS},
    packet::{Cause, Content, Frame, Headers, Packet, Transport, goes_on},
};

/// A frame judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What the parser found, as far as it came.
    pub packet: Packet,
    /// What happens to the frame.
    pub ruling: Ruling,
}

/// Judges a frame by a policy. A view that holds no whole policy passes it as [`Reason::NoPolicy`].
#[inline(always)]
pub fn judge<F: Frame, V: PolicyView>(frame: &F, view: &V) -> Judgement {
    let headers = Headers::read(frame);
    match Case::open(headers, view) {
        Ok(case) => case.judge(frame, view),
        Err(reason) => Judgement { packet: headers.packet(frame), ruling: Ruling::pass(reason) },
    }
}

/// A frame that the policy has a say in.
pub struct Case {
    headers: Headers,
    /// The column of the rulings on what it asks for, where that is known.
    column: u32,
}

impl Case {
    /// Opens a case, or says why the frame passes without one.
    ///
    /// The port test comes before the addresses are even read, so that ordinary traffic never pays for the policy.
    #[inline(always)]
    pub fn open<V: PolicyView>(headers: Headers, view: &V) -> Result<Self, Reason> {
        let port = headers.destination_port();
        let entry = match headers.content {
            Content::NotIp => return Err(Reason::NotIp),
            Content::OtherProtocol => return Err(Reason::NotTcp),
            Content::LaterFragment => return Err(Reason::FragmentWithoutPort),
            Content::Unparsed(_) => return Ok(Self { headers, column: 0 }),
            Content::Ports(Transport::Tcp) => view.port_service(TCP_PORTS, port),
            Content::Ports(Transport::Udp) => match view.header().ok_or(Reason::NoPolicy)?.udp_ports {
                0 => return Err(Reason::NotTcp),
                table => view.port_service(table, port),
            },
        };
        match entry.ok_or(Reason::NoPolicy)? {
            0 => Err(Reason::NotProtected),
            entry => Ok(Self { headers, column: entry - 1 }),
        }
    }

    /// Judges the same frame by the same policy.
    #[inline(always)]
    pub fn judge<F: Frame, V: PolicyView>(self, frame: &F, view: &V) -> Judgement {
        let headers = self.headers;
        let packet = headers.packet(frame);
        let ruling = rule(frame, &packet, headers.content, self.column, view)
            .unwrap_or(const { Ruling::pass(Reason::NoPolicy) });
        Judgement { packet, ruling }
    }
}

#[inline(always)]
fn rule<F: Frame, V: PolicyView>(
    frame: &F,
    packet: &Packet,
    content: Content,
    column: u32,
    view: &V,
) -> Option<Ruling> {
    let header = view.header()?;
    if let Content::Unparsed(cause) = content {
        return view.unparsed(&header, cause);
    }
    if packet.source_routed {
        let ruling = view.unparsed(&header, Cause::SourceRoute)?;
        if !matches!(ruling.verdict, Verdict::Pass) {
            return Some(ruling);
        }
        // Let pass as a source route, it is still judged by its source. The destination is only the next hop,
        // so it can't tell whether the service is meant.
    } else if !view.covers(&header, column, packet.destination)? {
        return Some(Ruling::pass(Reason::NotProtected));
    }
    view.ruling(packet.source, column, || goes_on(frame, packet))
}
