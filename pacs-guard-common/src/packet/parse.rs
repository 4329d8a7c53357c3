//! The parser: one pass over the headers of a frame.

use super::{
    Address, Cause, Frame,
    ethernet::{self, Ethernet},
    ipv4, ipv6,
};

/// IP protocol number of TCP (RFC 9293).
pub(super) const TCP: u8 = 6;
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
    packet.protocol == TCP && flags(frame, packet).is_some_and(|flags| flags & (SYN | ACK) == SYN)
}

/// Whether a TCP packet may be of a connection that is there already: anything but the first of one. A packet that
/// ends before its flags is of none.
#[inline(always)]
pub fn goes_on<F: Frame>(frame: &F, packet: &Packet) -> bool {
    flags(frame, packet).is_some_and(|flags| flags & (SYN | ACK) != SYN)
}

const SYN: u16 = 0x02;
const ACK: u16 = 0x10;

/// The TCP flags, in the lower byte; `None` where the packet ends before them.
#[inline(always)]
fn flags<F: Frame>(frame: &F, packet: &Packet) -> Option<u16> {
    if packet.transport_at == 0 {
        return None;
    }
    // Two bytes: for one, the verifier takes no proof.
    frame.read(frame.forget(packet.transport_at as usize) + 12).map(u16::from_be_bytes)
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
    let mut packet = Packet::default();
    let content = match read(frame, &mut packet) {
        Ok(content) => content,
        Err(cause) => Content::Unparsed(cause),
    };
    Parsed { packet, content }
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
fn read<F: Frame>(frame: &F, packet: &mut Packet) -> Result<Content, Cause> {
    let payload = match ethernet::read(frame)? {
        Ethernet::Ipv4(at) => ipv4::read(frame, at, packet)?,
        Ethernet::Ipv6(at) => ipv6::read(frame, at, packet)?,
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
            let [s1, s2, d1, d2] = frame.read(at).ok_or(cause)?;
            packet.source_port = u16::from_be_bytes([s1, s2]);
            packet.destination_port = u16::from_be_bytes([d1, d2]);
            // Padding behind the packet's end holds no flags either. Without a branch, or the verifier would walk the
            // rest of the program twice.
            let short = (end as i64 - (at as i64 + 14)) >> 63;
            packet.transport_at = (frame.forget(at) & !(short as usize)) as u16;
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
