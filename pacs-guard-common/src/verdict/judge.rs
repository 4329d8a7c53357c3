//! The order of the verdict, from a frame to a ruling.

use super::{PolicyView, Reason, Verdict};
use crate::{
    abi::{PackedRuling, Ruling, TCP_PORTS},
    packet::{Cause, Content, Frame, Headers, Packet, Transport},
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
    let ruling = match Case::open(headers, view) {
        Ok(case) => case.rule(frame, view).unpack().unwrap_or(Ruling::pass(Reason::NoPolicy)),
        Err(reason) => Ruling::pass(reason),
    };
    Judgement { packet: headers.packet(frame), ruling }
}

/// Why a frame passes whatever the policy is, or by the ports alone of which it is sure that they are not protected.
#[inline(always)]
pub fn passes(headers: &Headers, unprotected: impl FnOnce(u16) -> bool) -> Option<Reason> {
    match headers.content {
        Content::NotIp => Some(Reason::NotIp),
        Content::OtherProtocol => Some(Reason::NotTcp),
        Content::LaterFragment => Some(Reason::FragmentWithoutPort),
        Content::Ports(Transport::Tcp) if unprotected(headers.destination_port()) => {
            Some(Reason::NotProtected)
        }
        Content::Ports(_) | Content::Unparsed(_) => None,
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
        if let Some(reason) = passes(&headers, |_| false) {
            return Err(reason);
        }
        let port = headers.destination_port();
        let entry = match headers.content {
            Content::Ports(Transport::Tcp) => view.port_service(TCP_PORTS, port),
            Content::Ports(Transport::Udp) => match view.header().ok_or(Reason::NoPolicy)?.udp_ports {
                0 => return Err(Reason::NotTcp),
                table => view.port_service(table, port),
            },
            _ => return Ok(Self { headers, column: 0 }),
        };
        match entry.ok_or(Reason::NoPolicy)? {
            0 => Err(Reason::NotProtected),
            entry => Ok(Self { headers, column: entry - 1 }),
        }
    }

    /// Judges the same frame by the same policy.
    #[inline(always)]
    pub fn rule<F: Frame, V: PolicyView>(&self, frame: &F, view: &V) -> PackedRuling {
        let none = const { Ruling::pass(Reason::NoPolicy).pack() };
        self.look_up(frame, view).unwrap_or(none)
    }

    #[inline(always)]
    fn look_up<F: Frame, V: PolicyView>(&self, frame: &F, view: &V) -> Option<PackedRuling> {
        let Self { headers, column } = self;
        let header = view.header()?;
        if let Content::Unparsed(cause) = headers.content {
            return view.unparsed(&header, cause);
        }
        if headers.source_routed() {
            let ruling = view.unparsed(&header, Cause::SourceRoute)?;
            if !matches!(ruling.verdict(), Verdict::Pass) {
                return Some(ruling);
            }
            // Let pass as a source route, it is still judged by its source. The destination is only the next hop,
            // so it can't tell whether the service is meant.
        } else if !view.covers(&header, *column, || headers.destination(frame))? {
            return Some(const { Ruling::pass(Reason::NotProtected).pack() });
        }
        view.ruling(headers.source(frame), *column, || headers.goes_on(frame))
    }
}
