//! The IPv4 header (RFC 791 section 3.1).

use super::{
    Cause, Family, Frame,
    parse::{Facts, NO_END, Payload, TCP, transport},
};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
/// Bytes of options at most: a header length of fifteen words, less the fixed five.
const MAX_OPTIONS: usize = 40;

/// Reads the header at `start`.
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, start: usize, facts: &mut Facts) -> Result<Payload, Cause> {
    let header: [u8; 20] = frame.read(start).ok_or(Cause::Truncated)?;
    let [version_length, _, l1, l2, _, _, f1, f2, _, protocol, ..] = header;
    let header_length = (version_length & 0x0f) as usize * 4;
    if version_length >> 4 != 4 || header_length < 20 {
        return Err(Cause::IpHeader);
    }
    (facts.family, facts.addresses) = (Family::V4, start + 12);
    facts.protocol = protocol;

    // Linux takes a total length of 0 from its own segmentation offload (BIG TCP), and drops it otherwise.
    let total_length = u16::from_be_bytes([l1, l2]) as usize;
    let end = match total_length {
        0 => NO_END,
        short if short < header_length => return Err(Cause::Length),
        long if !frame.holds(start + long) => return Err(Cause::Length),
        fitting => start + fitting,
    };
    let at = frame.forget(start + header_length);

    let fragment = u16::from_be_bytes([f1, f2]);
    let Some(transport) = transport(protocol) else {
        return Ok(Payload::OtherProtocol);
    };
    match fragment & OFFSET {
        0 => {}
        // Eight bytes in, it would write over the TCP header's flags (RFC 1858 section 2.1).
        1 if protocol == TCP => return Err(Cause::Fragment),
        _ => return Ok(Payload::LaterFragment),
    }
    if header_length > 20 {
        if !frame.has_chains() {
            return Err(Cause::Truncated);
        }
        facts.source_routed = has_source_route(frame, start + 20, at);
    }
    Ok(Payload::Transport { transport, at, end, first_fragment: fragment & MORE_FRAGMENTS != 0 })
}

/// Walks the options for a source route. A malformed option ends the walk: Linux drops such a packet. So does
/// the frame's end: no ports lie behind it, which has a cause of its own.
#[inline(always)]
fn has_source_route<F: Frame>(frame: &F, start: usize, end: usize) -> bool {
    let mut at = start;
    for _ in 0..MAX_OPTIONS {
        if at >= end {
            break;
        }
        // Behind the last option lie the ports, so there are two bytes wherever there is one.
        let Some([kind, length]) = frame.read(at) else { break };
        let step = match kind {
            END_OF_OPTIONS => break,
            NO_OPERATION => 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return true,
            _ if length < 2 => break,
            _ => length as usize,
        };
        at = frame.forget(at + step);
    }
    false
}
