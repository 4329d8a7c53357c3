//! The parser: one pass over the headers of a frame.

use super::{
    Address, Cause, Family, Frame, MAX_OFFSET,
    ethernet::{self, Ethernet},
    ipv4, ipv6,
};

/// IP protocol number of TCP (RFC 9293).
pub const TCP: u8 = 6;
/// IP protocol number of UDP (RFC 768).
pub(super) const UDP: u8 = 17;

/// The facts of a packet that a verdict needs; zero where the parser did not come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// IP protocol number, behind any extension headers.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Where the transport header starts, in bytes from the frame's start; 0 where the packet ends before what would
    /// be its TCP flags.
    pub transport_at: u16,
    /// Whether a source route says that the destination is only the next hop, or was one.
    pub source_routed: bool,
}

/// Whether a packet is the first of a TCP connection: SYN without ACK (RFC 9293 section 3.1). Not where it ends before
/// its flags, nor where it is not TCP.
#[inline(always)]
pub fn opens<F: Frame>(frame: &F, packet: &Packet) -> bool {
    packet.protocol == TCP && is_first(frame, packet.transport_at as usize) == Some(true)
}

const SYN: u16 = 0x02;
const ACK: u16 = 0x10;

/// Whether the TCP flags are those of a connection's first packet; `None` where the packet ends before them.
#[inline(always)]
fn is_first<F: Frame>(frame: &F, transport_at: usize) -> Option<bool> {
    if transport_at == 0 {
        return None;
    }
    // Two bytes: for one, the verifier takes no proof.
    let flags = frame.read(frame.forget(transport_at) + 12).map(u16::from_be_bytes)?;
    Some(flags & (SYN | ACK) == SYN)
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP, but neither TCP nor UDP.
    OtherProtocol,
    /// A fragment that is not the first: it carries no ports.
    LaterFragment,
    /// A whole packet or a first fragment, with its ports.
    Ports(Transport),
    /// The parser gave up.
    Unparsed(Cause),
}

impl Content {
    const UNPARSED: u8 = 8;

    #[inline(always)]
    const fn code(self) -> u8 {
        match self {
            Self::NotIp => 0,
            Self::OtherProtocol => 1,
            Self::LaterFragment => 2,
            Self::Ports(Transport::Tcp) => 3,
            Self::Ports(Transport::Udp) => 4,
            Self::Unparsed(cause) => Self::UNPARSED + cause as u8,
        }
    }

    #[inline(always)]
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::NotIp,
            1 => Self::OtherProtocol,
            2 => Self::LaterFragment,
            3 => Self::Ports(Transport::Tcp),
            4 => Self::Ports(Transport::Udp),
            8 => Self::Unparsed(Cause::VlanDepth),
            9 => Self::Unparsed(Cause::IpHeader),
            10 => Self::Unparsed(Cause::Length),
            11 => Self::Unparsed(Cause::Fragment),
            12 => Self::Unparsed(Cause::ExtensionHeaders),
            13 => Self::Unparsed(Cause::SourceRoute),
            _ => Self::Unparsed(Cause::Truncated),
        }
    }
}

/// A parsed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The facts.
    pub packet: Packet,
    /// What they add up to.
    pub content: Content,
}

/// Parses a frame.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Parsed {
    let headers = Headers::read(frame);
    Parsed { packet: headers.packet(frame), content: headers.content }
}

/// What the headers of a frame say, addresses left where they are: most packets are let pass without them.
#[derive(Clone, Copy)]
pub struct Headers {
    facts: Facts,
    /// What they add up to.
    pub(crate) content: Content,
}

/// The facts that are few, and where the others lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) protocol: u8,
    pub(super) source_routed: bool,
    /// Source and destination, in the order of the frame.
    ports: [u8; 4],
    /// [`Family::None`] where no IP header was found.
    pub(super) family: Family,
    /// Where the source address lies, the destination behind it: [`FIRST_ADDRESSES`], or up to three times four bytes
    /// on.
    pub(super) addresses: usize,
    /// As in [`Packet::transport_at`].
    transport_at: usize,
}

/// Where the addresses of an IPv6 packet without VLAN tags lie. Those of IPv4 lie four bytes on, and each of at most
/// two tags moves both by as many.
const FIRST_ADDRESSES: usize = 14 + 8;

impl Headers {
    /// Reads a frame's headers.
    #[inline(always)]
    pub fn read<F: Frame>(frame: &F) -> Self {
        let mut facts = Facts::default();
        let content = read(frame, &mut facts).unwrap_or_else(Content::Unparsed);
        Self { facts, content }
    }

    /// Packs them in one lane, which one function of the XDP program can return to another.
    ///
    /// Bits 0 to 7 hold the protocol, 8 whether it is source routed, 9 and 10 the family, 11 to 14 the content, 15 and
    /// 16 how many times four bytes the addresses lie behind [`FIRST_ADDRESSES`], 17 to 31 where the transport header
    /// lies, 32 to 63 the ports.
    #[inline(always)]
    pub const fn to_lane(&self) -> u64 {
        let Facts { protocol, source_routed, ports, family, addresses, transport_at } = self.facts;
        let kinds = protocol as u64 | (source_routed as u64) << 8 | ((family as u64 / 2) & 3) << 9;
        let addresses = (addresses.saturating_sub(FIRST_ADDRESSES) as u64 / 4) & 3;
        let places = addresses << 15 | ((transport_at & MAX_OFFSET) as u64) << 17;
        kinds | (self.content.code() as u64) << 11 | places | (u32::from_ne_bytes(ports) as u64) << 32
    }

    /// Reads packed ones.
    #[inline(always)]
    pub const fn from_lane(lane: u64) -> Self {
        let family = match lane >> 9 & 3 {
            2 => Family::V4,
            3 => Family::V6,
            _ => Family::None,
        };
        Self {
            facts: Facts {
                protocol: lane as u8,
                source_routed: lane >> 8 & 1 != 0,
                ports: ((lane >> 32) as u32).to_ne_bytes(),
                family,
                addresses: FIRST_ADDRESSES + 4 * ((lane >> 15) as usize & 3),
                transport_at: (lane >> 17) as usize & MAX_OFFSET,
            },
            content: Content::from_code((lane >> 11) as u8 & 15),
        }
    }

    /// The destination port.
    #[inline(always)]
    pub const fn destination_port(&self) -> u16 {
        let [_, _, d1, d2] = self.facts.ports;
        u16::from_be_bytes([d1, d2])
    }

    #[inline(always)]
    pub(crate) const fn source_routed(&self) -> bool {
        self.facts.source_routed
    }

    /// The IP protocol number, as in [`Packet::protocol`].
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.facts.protocol
    }

    /// As [`Packet::transport_at`].
    #[inline(always)]
    pub const fn transport_at(&self) -> usize {
        self.facts.transport_at
    }

    /// As [`opens`], for TCP.
    #[inline(always)]
    pub fn opens<F: Frame>(&self, frame: &F) -> bool {
        is_first(frame, self.facts.transport_at) == Some(true)
    }

    /// Whether a TCP packet may be of a connection that is there already: anything but the first of one. A packet that
    /// ends before its flags is of none.
    #[inline(always)]
    pub fn goes_on<F: Frame>(&self, frame: &F) -> bool {
        is_first(frame, self.facts.transport_at) == Some(false)
    }

    /// The source address, where it is whole.
    #[inline(always)]
    pub fn source<F: Frame>(&self, frame: &F) -> Address {
        self.address(frame, 0)
    }

    /// The destination address, where it is whole.
    #[inline(always)]
    pub(crate) fn destination<F: Frame>(&self, frame: &F) -> Address {
        self.address(frame, 1)
    }

    #[inline(always)]
    fn address<F: Frame>(&self, frame: &F, number: usize) -> Address {
        let at = self.facts.addresses;
        let address = match self.facts.family {
            Family::None => None,
            Family::V4 => frame.read(at + 4 * number).map(Address::v4),
            Family::V6 => (|| {
                let at = at + 16 * number;
                Some(Address::v6(frame.read(at)?, frame.read(at + 8)?))
            })(),
        };
        address.unwrap_or_default()
    }

    /// All facts. Of a header that the frame cuts off, the addresses that are whole.
    #[inline(always)]
    pub fn packet<F: Frame>(&self, frame: &F) -> Packet {
        let Facts { protocol, source_routed, ports: [s1, s2, ..], transport_at, .. } = self.facts;
        Packet {
            source: self.source(frame),
            destination: self.destination(frame),
            protocol,
            source_port: u16::from_be_bytes([s1, s2]),
            destination_port: self.destination_port(),
            transport_at: transport_at as u16,
            source_routed,
        }
    }
}

/// The end of a packet that does not say where it ends.
pub(super) const NO_END: usize = usize::MAX >> 1;

/// Where the transport header lies, as an IP header and its followers say.
pub(super) enum Payload {
    /// The IP packet carries something without ports.
    OtherProtocol,
    /// A fragment that is not the first.
    LaterFragment,
    /// A transport header starts at `at`; the packet ends at `end`, both counted from the frame's start.
    Transport { transport: Transport, at: usize, end: usize, first_fragment: bool },
}

#[inline(always)]
fn read<F: Frame>(frame: &F, facts: &mut Facts) -> Result<Content, Cause> {
    let payload = match ethernet::read(frame)? {
        Ethernet::Ipv4(at) => ipv4::read(frame, at, facts)?,
        Ethernet::Ipv6(at) => ipv6::read(frame, at, facts)?,
        Ethernet::NotIp => return Ok(Content::NotIp),
    };
    match payload {
        Payload::OtherProtocol => Ok(Content::OtherProtocol),
        Payload::LaterFragment => Ok(Content::LaterFragment),
        Payload::Transport { transport, at, end, first_fragment } => {
            // Padding behind the packet's end is no port, whatever it looks like.
            let cause = if first_fragment { Cause::Fragment } else { Cause::Truncated };
            if at + 4 > end {
                return Err(cause);
            }
            facts.ports = frame.read(at).ok_or(cause)?;
            // Padding behind the packet's end holds no flags either. Without a branch, or the verifier would walk the
            // rest of the program twice.
            let short = (end as i64 - (at as i64 + 14)) >> 63;
            facts.transport_at = frame.forget(at) & !(short as usize);
            Ok(Content::Ports(transport))
        }
    }
}

/// The transport protocol with this number, where it has ports that a service can name.
#[inline(always)]
pub(super) const fn transport(protocol: u8) -> Option<Transport> {
    match protocol {
        TCP => Some(Transport::Tcp),
        UDP => Some(Transport::Udp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_packing() {
        let ports = [Transport::Tcp, Transport::Udp].map(Content::Ports);
        let others = [Content::NotIp, Content::OtherProtocol, Content::LaterFragment];
        let all = Cause::ALL.into_iter().map(Content::Unparsed).chain(ports).chain(others);
        let families = [Family::None, Family::V4, Family::V6];
        for (content, family) in all.flat_map(|content| families.map(|family| (content, family))) {
            for addresses in [14, 18, 22].into_iter().flat_map(|start| [start + 8, start + 12]) {
                let source_routed = content == Content::NotIp;
                let (protocol, ports, transport_at) = (255, [1, 2, 3, 4], MAX_OFFSET);
                let facts = Facts { protocol, source_routed, ports, family, addresses, transport_at };
                let read = Headers::from_lane(Headers { facts, content }.to_lane());
                assert_eq!((read.content, read.facts), (content, facts));
            }
        }
    }
}
