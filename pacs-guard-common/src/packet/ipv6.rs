//! The IPv6 header and the extension headers that Linux walks (RFC 8200 sections 3 and 4).

use super::{
    Cause, Family, Frame, MAX_OFFSET,
    parse::{Facts, NO_END, Payload, TCP, transport},
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// IP in a routing header's packet (RFC 8986 section 4.3 and on).
const IPV4_INSIDE: u8 = 4;
const IPV6_INSIDE: u8 = 41;

/// Extension headers in one packet at most. Real traffic has one or two.
pub(super) const MAX_HEADERS: usize = 8;
/// The longest header has 255 + 1 units of eight bytes, so that no chain leads behind [`MAX_OFFSET`].
const _: () = assert!(22 + 40 + MAX_HEADERS * 2048 <= MAX_OFFSET);

/// Reads the header at `start`, and its extension headers.
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, start: usize, facts: &mut Facts) -> Result<Payload, Cause> {
    let fixed: [u8; 8] = frame.read(start).ok_or(Cause::Truncated)?;
    let [version, _, _, _, l1, l2, first, _] = fixed;
    if version >> 4 != 6 {
        return Err(Cause::IpHeader);
    }
    (facts.family, facts.addresses) = (Family::V6, start + 8);
    if !frame.holds(start + 40) {
        return Err(Cause::Truncated);
    }

    // A payload length of 0 is a jumbogram's, or of Linux's own segmentation offload (BIG TCP).
    let end = match u16::from_be_bytes([l1, l2]) as usize {
        0 => NO_END,
        long if !frame.holds(start + 40 + long) => return Err(Cause::Length),
        fitting => start + 40 + fitting,
    };

    let mut header = first;
    let mut at = frame.forget(start + 40);
    let mut first_fragment = false;
    for _ in 0..=MAX_HEADERS {
        facts.protocol = header;
        if let Some(transport) = transport(header) {
            return Ok(Payload::Transport { transport, at, end, first_fragment });
        }
        if !is_extension(header) {
            return Ok(Payload::OtherProtocol);
        }
        if !frame.has_chains() {
            return Err(Cause::Truncated);
        }
        // A first fragment must hold the whole chain (RFC 7112). Linux takes one that ends between two headers, and
        // finds the next in the second fragment. Padding behind the packet's end is no header, whatever it looks like.
        let cut = if first_fragment { Cause::Fragment } else { Cause::Truncated };
        if at + 4 > end {
            return Err(cut);
        }
        let [next, length, third, fourth]: [u8; 4] = frame.read(at).ok_or(cut)?;
        let end_of_header = match header {
            FRAGMENT => {
                let field = u16::from_be_bytes([third, fourth]);
                match (field >> 3, next) {
                    (0, _) => first_fragment |= field & 1 != 0,
                    (1, TCP) => return Err(Cause::Fragment),
                    _ if transport(next).is_some() || is_extension(next) => {
                        return Ok(Payload::LaterFragment);
                    }
                    _ => return Ok(Payload::OtherProtocol),
                }
                // The second byte of this header is reserved, and is not a length.
                at + 8
            }
            // Its length counts words of four bytes, less two (RFC 4302 section 2.2).
            AUTHENTICATION => at + (length as usize + 2) * 4,
            // Linux unwraps such a packet where segment routing is on (seg6_enabled): what is inside comes in
            // behind this program.
            ROUTING if matches!(next, IPV4_INSIDE | IPV6_INSIDE) => return Err(Cause::SourceRoute),
            _ => {
                if header == ROUTING {
                    facts.source_routed |= fourth != 0;
                }
                at + (length as usize + 1) * 8
            }
        };
        at = frame.forget(end_of_header);
        header = next;
    }
    Err(Cause::ExtensionHeaders)
}

#[inline(always)]
const fn is_extension(header: u8) -> bool {
    matches!(header, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use crate::packet::{Cause, Content, parse};

    /// Found by the oracle: Linux answered on a protected port, for padding was taken for the end of a chain whose rest
    /// came in the second fragment.
    #[test]
    fn padding_behind_a_cut_chain_is_no_header() {
        const NOT_IP: u8 = 39;
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, super::FRAGMENT, 64]);
        frame.extend([0xfd; 32]);
        // The first fragment, with more to come, ends behind one whole header that announces another.
        frame.extend([super::DESTINATION, 0, 0, 1, 0, 0, 0, 9]);
        frame.extend([super::DESTINATION, 0, 0x1e, 4, 0, 0, 0, 0]);
        for padding in [0, 1, 4, 40] {
            frame.resize(14 + 40 + 16 + padding, NOT_IP);
            let found = parse(&frame.as_slice()).content;
            assert_eq!(found, Content::Unparsed(Cause::Fragment), "{padding} bytes of padding");
        }
    }

    /// Segment routing unwraps it, and what is inside comes in behind the program.
    #[test]
    fn ip_inside_a_routing_header_is_a_source_route() {
        for (inside, found) in [
            (super::IPV4_INSIDE, Content::Unparsed(Cause::SourceRoute)),
            (super::IPV6_INSIDE, Content::Unparsed(Cause::SourceRoute)),
            (58, Content::OtherProtocol),
        ] {
            let mut frame = vec![0; 12];
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 48, super::ROUTING, 64]);
            frame.extend([0xfd; 32]);
            frame.extend([inside, 0, 4, 0, 0, 0, 0, 0]);
            frame.extend([0; 40]);
            assert_eq!(parse(&frame.as_slice()).content, found, "next header {inside}");
        }
    }
}
