//! A naive reading of a frame: slices are cut off as headers are read, and nothing is bounded for a verifier.

use pacs_guard_common::packet::{Address, Cause, Content, Packet, Parsed, Transport};

pub(crate) fn parse(frame: &[u8]) -> Parsed {
    let mut packet = Packet::default();
    let content = read(frame, &mut packet).unwrap_or_else(Content::Unparsed);
    Parsed { packet, content }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn read(frame: &[u8], packet: &mut Packet) -> Result<Content, Cause> {
    let mut rest = frame.get(12..).unwrap_or_default();
    let mut tags = 0;
    loop {
        let ether_type = word(rest, 0).ok_or(Cause::Truncated)?;
        match ether_type {
            0x8100 | 0x88a8 if tags == 2 => return Err(Cause::VlanDepth),
            0x8100 | 0x88a8 => (tags, rest) = (tags + 1, rest.get(4..).unwrap_or_default()),
            0x0800 => return ipv4(frame, &rest[2..], packet),
            0x86dd => return ipv6(frame, &rest[2..], packet),
            _ => return Ok(Content::NotIp),
        }
    }
}

fn transport(protocol: u8) -> Option<Transport> {
    [(6, Transport::Tcp), (17, Transport::Udp)]
        .into_iter()
        .find(|(number, _)| *number == protocol)
        .map(|it| it.1)
}

/// Cuts off what lies behind the packet's end; a length of 0 is of segmentation offload.
fn trimmed(bytes: &[u8], length: usize, none: bool) -> Result<&[u8], Cause> {
    if none { Ok(bytes) } else { bytes.get(..length).ok_or(Cause::Length) }
}

fn ports(
    frame: &[u8],
    bytes: &[u8],
    cut: Cause,
    transport: Transport,
    packet: &mut Packet,
) -> Result<Content, Cause> {
    let source = word(bytes, 0).ok_or(cut)?;
    let destination = word(bytes, 2).ok_or(cut)?;
    (packet.source_port, packet.destination_port) = (source, destination);
    if bytes.len() >= 14 {
        packet.transport_at = (bytes.as_ptr().addr() - frame.as_ptr().addr()) as u16;
    }
    Ok(Content::Ports(transport))
}

fn ipv4(frame: &[u8], bytes: &[u8], packet: &mut Packet) -> Result<Content, Cause> {
    let header: &[u8; 20] = bytes.first_chunk().ok_or(Cause::Truncated)?;
    let header_length = usize::from(header[0] % 16) * 4;
    if header[0] / 16 != 4 || header_length < 20 {
        return Err(Cause::IpHeader);
    }
    packet.protocol = header[9];
    packet.source = Address::v4(*header[12..].first_chunk().unwrap());
    packet.destination = Address::v4(*header[16..].first_chunk().unwrap());
    let total = usize::from(word(header, 2).unwrap());
    if total != 0 && total < header_length {
        return Err(Cause::Length);
    }
    let bytes = trimmed(bytes, total, total == 0)?;
    let Some(transport) = transport(packet.protocol) else { return Ok(Content::OtherProtocol) };
    let (offset, more) = (word(header, 6).unwrap() & 0x1fff, header[6] & 0x20 != 0);
    if offset == 1 && transport == Transport::Tcp {
        return Err(Cause::Fragment);
    }
    if offset > 0 {
        return Ok(Content::LaterFragment);
    }
    let cut = if more { Cause::Fragment } else { Cause::Truncated };
    packet.source_routed = source_route(bytes.get(20..header_length).unwrap_or(&bytes[20..]));
    ports(frame, bytes.get(header_length..).unwrap_or_default(), cut, transport, packet)
}

fn source_route(options: &[u8]) -> bool {
    match options {
        [] | [0, ..] => false,
        [1, rest @ ..] => source_route(rest),
        [131 | 137, _, ..] => true,
        [_, length, ..] if *length >= 2 => {
            source_route(options.get(usize::from(*length)..).unwrap_or_default())
        }
        _ => false,
    }
}

fn ipv6(frame: &[u8], bytes: &[u8], packet: &mut Packet) -> Result<Content, Cause> {
    let version = bytes.get(..8).ok_or(Cause::Truncated)?[0] / 16;
    if version != 6 {
        return Err(Cause::IpHeader);
    }
    let half = |at: usize| Some(*bytes.get(at..)?.first_chunk()?);
    // What is read before the frame ends is kept, for the event.
    for (address, at) in [(&mut packet.source, 8), (&mut packet.destination, 24)] {
        let (Some(high), Some(low)) = (half(at), half(at + 8)) else { return Err(Cause::Truncated) };
        *address = Address::v6(high, low);
    }
    let header = &bytes[..40];
    let length = usize::from(word(header, 4).unwrap());
    let payload = trimmed(&bytes[40..], length, length == 0)?;
    chain(frame, header[6], payload, false, 0, packet)
}

fn chain(
    frame: &[u8],
    header: u8,
    bytes: &[u8],
    fragment: bool,
    read: usize,
    packet: &mut Packet,
) -> Result<Content, Cause> {
    if read == 9 {
        return Err(Cause::ExtensionHeaders);
    }
    packet.protocol = header;
    let cut = if fragment { Cause::Fragment } else { Cause::Truncated };
    if let Some(transport) = transport(header) {
        return ports(frame, bytes, cut, transport, packet);
    }
    if !matches!(header, 0 | 43 | 44 | 51 | 60) {
        return Ok(Content::OtherProtocol);
    }
    let [next, second, third, fourth] = *bytes.first_chunk().ok_or(cut)?;
    let mut fragment = fragment;
    let length = match header {
        44 => {
            let (offset, more) = (u16::from_be_bytes([third, fourth]) / 8, fourth % 2 == 1);
            match (offset, next) {
                (0, _) => fragment |= more,
                (1, 6) => return Err(Cause::Fragment),
                (_, 0 | 6 | 17 | 43 | 44 | 51 | 60) => return Ok(Content::LaterFragment),
                _ => return Ok(Content::OtherProtocol),
            }
            8
        }
        51 => 8 + 4 * usize::from(second),
        43 if next == 4 || next == 41 => return Err(Cause::SourceRoute),
        _ => 8 + 8 * usize::from(second),
    };
    packet.source_routed |= header == 43 && fourth != 0;
    chain(frame, next, bytes.get(length..).unwrap_or_default(), fragment, read + 1, packet)
}
