//! IPv6: extension headers, fragments, payload lengths.

use pacs_guard_common::packet::Cause;

use super::{
    ALLOWED, Expected, LATER_FRAGMENT, NOT_PROTECTED, NOT_TCP, Row, STRANGER, check, row, unparsed, v6,
};
use crate::{
    bench::{HERE6, PEER6, STRANGER6, ip},
    frames::build::{
        AUTHENTICATION, Chain, DESTINATION, ESP, HOP_BY_HOP, NO_NEXT, ROUTING, SYN, TCP, V6, tcp,
    },
};

const EXTENSION_HEADERS: Expected = unparsed(Cause::ExtensionHeaders);
const FRAGMENT: Expected = unparsed(Cause::Fragment);
const LENGTH: Expected = unparsed(Cause::Length);
const SOURCE_ROUTE: Expected = unparsed(Cause::SourceRoute);
const TRUNCATED: Expected = unparsed(Cause::Truncated);

fn segment(source: &str, port: u16) -> Vec<u8> {
    tcp(ip(source), ip(HERE6), port, SYN)
}

fn frame(chain: &Chain, source: &str, port: u16) -> Vec<u8> {
    chain.frame(v6(source), v6(HERE6), TCP, &segment(source, port))
}

/// Behind this chain a peer is allowed, a stranger refused, and SSH not judged.
fn transparent(rows: &mut Vec<Row>, name: &str, chain: &Chain) {
    rows.push(row(format!("{name}, peer"), frame(chain, PEER6, 104), ALLOWED));
    rows.push(row(format!("{name}, stranger"), frame(chain, STRANGER6, 104), STRANGER));
    rows.push(row(format!("{name}, SSH"), frame(chain, STRANGER6, 22), NOT_PROTECTED));
}

fn refused(rows: &mut Vec<Row>, name: &str, chain: &Chain, expected: Expected) {
    for source in [PEER6, STRANGER6] {
        rows.push(row(format!("{name}, {source}"), frame(chain, source, 104), expected));
    }
}

#[test]
fn chains() {
    let mut rows = Vec::new();
    transparent(&mut rows, "no extension header", &Chain::new());
    for units in [0, 1, 2, 7, 31, 127, 255] {
        let name = format!("of {} bytes", 8 * (u16::from(units) + 1));
        transparent(&mut rows, &format!("hop-by-hop {name}"), &Chain::new().options(HOP_BY_HOP, units));
        transparent(&mut rows, &format!("destination {name}"), &Chain::new().options(DESTINATION, units));
    }
    for words in [3, 4, 5, 6, 63, 255] {
        transparent(&mut rows, &format!("AH of {words} words"), &Chain::new().authentication(words));
    }
    let all = Chain::new().options(HOP_BY_HOP, 1).options(DESTINATION, 0).routing(4, 0).fragment(0, false, 7);
    transparent(&mut rows, "one of each", &all.authentication(6).options(DESTINATION, 2));
    for count in 1..=12 {
        let chain = (0..count).fold(Chain::new(), |chain, _| chain.options(DESTINATION, 0));
        if count <= 8 {
            transparent(&mut rows, &format!("{count} headers"), &chain);
        } else {
            refused(&mut rows, &format!("{count} headers"), &chain, EXTENSION_HEADERS);
        }
    }
    // A chain as long as the bound lets it be.
    let longest = (0..8).fold(Chain::new(), |chain, _| chain.options(DESTINATION, 255));
    transparent(&mut rows, "8 headers of 2048 bytes", &longest);
    for (header, rest, expected) in [
        (ESP, [0; 15], NOT_TCP),
        (NO_NEXT, [6; 15], NOT_TCP),
        // Mobility, HIP and Shim6: Linux delivers nothing behind them to a TCP socket.
        (135, [0; 15], NOT_TCP),
        (139, [0; 15], NOT_TCP),
        (140, [0; 15], NOT_TCP),
    ] {
        let chain = Chain::new().options(DESTINATION, 0).with(header, rest.to_vec());
        rows.push(row(format!("header {header} ends the chain"), frame(&chain, STRANGER6, 104), expected));
    }
    check(rows);
}

#[test]
fn routing_headers() {
    let mut rows = Vec::new();
    for kind in [0, 2, 3, 4, 253] {
        transparent(&mut rows, &format!("routing type {kind}, none left"), &Chain::new().routing(kind, 0));
        for left in [1, 255] {
            let name = format!("routing type {kind}, {left} left");
            refused(&mut rows, &name, &Chain::new().routing(kind, left), SOURCE_ROUTE);
            let behind = Chain::new().routing(kind, left).routing(kind, 0).options(DESTINATION, 0);
            refused(&mut rows, &format!("{name}, behind it others"), &behind, SOURCE_ROUTE);
            let ssh = frame(&Chain::new().routing(kind, left), STRANGER6, 22);
            rows.push(row(format!("{name}, SSH"), ssh, NOT_PROTECTED));
        }
    }
    check(rows);
}

/// Peers add the Fragment header's second byte to its length: the sender then chooses where the ports lie.
#[test]
fn fragments() {
    let mut rows = Vec::new();
    for reserved in [0, 1, 2, 63, 255] {
        let name = |what| format!("{what}, reserved byte {reserved}");
        let at = |offset, more| Chain::new().fragment(offset, more, reserved);
        transparent(&mut rows, &name("atomic fragment"), &at(0, false));
        transparent(&mut rows, &name("first fragment"), &at(0, true));
        refused(&mut rows, &name("offset 1"), &at(1, false), FRAGMENT);
        refused(&mut rows, &name("offset 1, and more"), &at(1, true), FRAGMENT);
        refused(&mut rows, &name("overlapping, offset 2"), &at(2, true), LATER_FRAGMENT);
        refused(&mut rows, &name("later fragment"), &at(181, false), LATER_FRAGMENT);
        refused(&mut rows, &name("last offset"), &at(0x1fff, false), LATER_FRAGMENT);
        let options = at(1, true).options(DESTINATION, 0);
        refused(&mut rows, &name("offset 1 of an extension header"), &options, LATER_FRAGMENT);
        transparent(&mut rows, &name("first fragment, then options"), &at(0, true).options(DESTINATION, 1));
        transparent(&mut rows, &name("two atomic fragments"), &at(0, false).fragment(0, false, reserved));
        refused(&mut rows, &name("atomic, then offset 1"), &at(0, false).fragment(1, false, 0), FRAGMENT);
    }
    let to = v6(HERE6);
    let tiny = |chain: &Chain, length: usize| {
        chain.frame(v6(STRANGER6), to, TCP, &segment(STRANGER6, 104)[..length])
    };
    let first = Chain::new().fragment(0, true, 0);
    for length in 0..4 {
        rows.push(row(format!("first fragment of {length} bytes"), tiny(&first, length), FRAGMENT));
        let atomic = Chain::new().fragment(0, false, 0);
        rows.push(row(format!("atomic fragment of {length} bytes"), tiny(&atomic, length), TRUNCATED));
    }
    rows.push(row("tiny first fragment with ports", tiny(&first, 8), STRANGER));
    // RFC 7112: the chain is split over fragments.
    for units in [0, 1] {
        let chain = first.clone().options(DESTINATION, units);
        let (next, bytes) = chain.before(TCP, &[]);
        let header = V6::new(v6(STRANGER6), to, next);
        rows.push(row(
            format!("first fragment ends with {units} more units"),
            header.frame(&bytes),
            FRAGMENT,
        ));
        for left in 8..8 + 8 * (usize::from(units) + 1) {
            let name = format!("first fragment of {left} bytes is cut in a header of {units} more units");
            rows.push(row(name, header.frame(&bytes[..left]), FRAGMENT));
        }
    }
    let icmp = first.frame(v6(STRANGER6), to, 58, &[128, 0, 0, 0]);
    rows.push(row("first fragment of a ping", icmp, NOT_TCP));
    let icmp = Chain::new().fragment(181, false, 0).frame(v6(STRANGER6), to, 58, &[0; 8]);
    rows.push(row("later fragment of a ping", icmp, NOT_TCP));
    check(rows);
}

#[test]
fn header_fields() {
    let mut rows = Vec::new();
    for version in [0, 4, 5, 7, 15] {
        let mut frame = frame(&Chain::new(), PEER6, 104);
        frame[14] = version << 4;
        rows.push(row(format!("version {version}"), frame, unparsed(Cause::IpHeader)));
    }
    let mut marked = frame(&Chain::new(), PEER6, 104);
    marked[14..18].copy_from_slice(&[0x6f, 0xff, 0xff, 0xff]);
    rows.push(row("every bit of class and flow label", marked, ALLOWED));
    let lying = |source: &str, length| {
        V6 { length: Some(length), ..V6::new(v6(source), v6(HERE6), TCP) }.frame(&segment(source, 104))
    };
    for length in 1..4 {
        rows.push(row(format!("payload length {length}"), lying(PEER6, length), TRUNCATED));
    }
    for length in 4..=20 {
        rows.push(row(format!("payload length {length}"), lying(PEER6, length), ALLOWED));
    }
    for length in [21, 40, 1500, 0x7fff, 0xffff] {
        rows.push(row(format!("payload length {length}"), lying(PEER6, length), LENGTH));
    }
    rows.push(row("payload length 0, as of segmentation offload", lying(PEER6, 0), ALLOWED));
    rows.push(row("payload length 0 from a stranger", lying(STRANGER6, 0), STRANGER));
    // RFC 2675: a jumbogram's length lies in a hop-by-hop option.
    let jumbo = Chain::new().with(HOP_BY_HOP, vec![0, 0xc2, 4, 0, 1, 0, 0]);
    let mut jumbo = frame(&jumbo, STRANGER6, 104);
    jumbo[18..20].copy_from_slice(&[0, 0]);
    rows.push(row("jumbogram", jumbo, STRANGER));
    for header in [HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION] {
        let chain = Chain::new().with(header, vec![255, 0, 0, 0, 0, 0, 0]);
        let name = format!("header {header} that runs over the packet");
        rows.push(row(name, frame(&chain, STRANGER6, 104), TRUNCATED));
    }
    check(rows);
}
