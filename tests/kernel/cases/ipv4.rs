//! IPv4: header lengths, options, total lengths, fragments.

use pacs_guard_common::packet::Cause;

use super::{
    ALLOWED, Expected, LATER_FRAGMENT, NOT_PROTECTED, NOT_TCP, Row, STRANGER, check, row, unparsed, v4,
};
use crate::{
    bench::{HERE4, PEER4, STRANGER4, ip},
    frames::build::{MORE_FRAGMENTS, SYN, TCP, UDP, V4, tcp, udp},
};

const IP_HEADER: Expected = unparsed(Cause::IpHeader);
const LENGTH: Expected = unparsed(Cause::Length);
const FRAGMENT: Expected = unparsed(Cause::Fragment);
const SOURCE_ROUTE: Expected = unparsed(Cause::SourceRoute);
const TRUNCATED: Expected = unparsed(Cause::Truncated);

fn header(source: &str, protocol: u8) -> V4 {
    V4::new(v4(source), v4(HERE4), protocol)
}

fn segment(source: &str, port: u16) -> Vec<u8> {
    tcp(ip(source), ip(HERE4), port, SYN)
}

#[test]
fn header_lengths() {
    let mut rows = Vec::new();
    for words in 0..5 {
        for port in [104, 22] {
            let header = V4 { version_length: Some(0x40 | words), ..header(PEER4, TCP) };
            rows.push(row(
                format!("IHL {words} to port {port}"),
                header.frame(&segment(PEER4, port)),
                IP_HEADER,
            ));
        }
    }
    for version in [0, 3, 5, 6, 15] {
        let header = V4 { version_length: Some(version << 4 | 5), ..header(PEER4, TCP) };
        rows.push(row(format!("version {version}"), header.frame(&segment(PEER4, 104)), IP_HEADER));
    }
    for words in 6..=15_u8 {
        let options = vec![1; usize::from(words) * 4 - 20];
        for (source, expected) in [(PEER4, ALLOWED), (STRANGER4, STRANGER)] {
            let header = V4 { options: options.clone(), ..header(source, TCP) };
            rows.push(row(
                format!("IHL {words} from {source}"),
                header.frame(&segment(source, 104)),
                expected,
            ));
        }
    }
    let header = V4 { version_length: Some(0x4f), ..header(PEER4, TCP) };
    rows.push(row("IHL 15 over a packet of 40 bytes", header.frame(&segment(PEER4, 104)), LENGTH));
    check(rows);
}

#[test]
fn options() {
    let kinds: [(&str, &[u8], Expected); 19] = [
        ("NOP", &[1, 1, 1, 1], ALLOWED),
        ("end of options", &[0, 0, 0, 0], ALLOWED),
        ("router alert", &[148, 4, 0, 0], ALLOWED),
        ("record route", &[7, 7, 4, 0, 0, 0, 0], ALLOWED),
        ("timestamp", &[68, 8, 5, 0, 0, 0, 0, 0], ALLOWED),
        ("LSRR", &[131, 7, 4, 10, 0, 0, 9], SOURCE_ROUTE),
        ("SSRR", &[137, 7, 4, 10, 0, 0, 9], SOURCE_ROUTE),
        ("LSRR behind NOP", &[1, 131, 7, 4, 10, 0, 0, 9], SOURCE_ROUTE),
        ("LSRR behind a record route", &[7, 7, 4, 0, 0, 0, 0, 131, 7, 4, 10, 0, 0, 9], SOURCE_ROUTE),
        ("LSRR that is spent", &[131, 7, 8, 10, 0, 0, 9], SOURCE_ROUTE),
        ("LSRR behind the end of options", &[0, 131, 7, 4, 10, 0, 0, 9], ALLOWED),
        ("LSRR inside another option", &[148, 8, 131, 7, 4, 0, 0, 0], ALLOWED),
        ("LSRR in the last byte", &[1, 1, 1, 131], SOURCE_ROUTE),
        ("length 0", &[68, 0, 131, 7], ALLOWED),
        ("length 1", &[68, 1, 131, 7], ALLOWED),
        ("length 255, over the end", &[68, 255, 0, 0], ALLOWED),
        ("one byte over the end", &[68, 5, 0, 0], ALLOWED),
        ("a kind with no length", &[1, 1, 1, 68], ALLOWED),
        ("40 NOPs", &[1; 40], ALLOWED),
    ];
    let mut rows = Vec::new();
    for (name, options, expected) in kinds {
        for (source, refused) in [(PEER4, expected), (STRANGER4, STRANGER)] {
            // A source route leaves unknown what the destination is, so it is refused before the source is.
            let expected = if expected == ALLOWED { refused } else { expected };
            let header = V4 { options: options.to_vec(), ..header(source, TCP) };
            let name = format!("option {name} from {source}");
            rows.push(row(&name, header.frame(&segment(source, 104)), expected));
            rows.push(row(format!("{name} to SSH"), header.frame(&segment(source, 22)), NOT_PROTECTED));
        }
        let header = V4 { options: options.to_vec(), fragment: MORE_FRAGMENTS, ..header(STRANGER4, TCP) };
        rows.push(row(format!("option {name}, first fragment without ports"), header.frame(&[]), FRAGMENT));
    }
    check(rows);
}

#[test]
fn total_lengths() {
    let frame = |total, payload: &[u8]| V4 { total: Some(total), ..header(PEER4, TCP) }.frame(payload);
    let whole = segment(PEER4, 104);
    let mut rows: Vec<Row> = Vec::new();
    for total in 1..20 {
        rows.push(row(format!("total length {total}"), frame(total, &whole), LENGTH));
    }
    for total in 20..24 {
        rows.push(row(format!("total length {total}"), frame(total, &whole), TRUNCATED));
    }
    for total in 24..=40 {
        rows.push(row(format!("total length {total}"), frame(total, &whole), ALLOWED));
    }
    for total in [41, 60, 1500, 0x7fff, 0xffff] {
        rows.push(row(format!("total length {total}"), frame(total, &whole), LENGTH));
    }
    let padded = [&whole[..], &[0; 6]].concat();
    rows.push(row("padded to 60 bytes", frame(40, &padded), ALLOWED));
    rows.push(row("total length 0, as of segmentation offload", frame(0, &whole), ALLOWED));
    let stranger = V4 { total: Some(0), ..header(STRANGER4, TCP) }.frame(&segment(STRANGER4, 104));
    rows.push(row("total length 0 from a stranger", stranger, STRANGER));
    let ping = V4 { total: Some(400), ..header(STRANGER4, 1) }.frame(&[8, 0, 0, 0]);
    rows.push(row("ICMP whose total length runs over the frame, which Linux drops too", ping, LENGTH));
    check(rows);
}

#[test]
fn fragments() {
    let frame = |source: &str, protocol, fragment, payload: &[u8]| {
        V4 { fragment, ..header(source, protocol) }.frame(payload)
    };
    let whole = |port| segment(STRANGER4, port);
    let datagram = udp(ip(STRANGER4), ip(HERE4), 514, &[0; 16]);
    let from = |fragment, payload: &[u8]| frame(STRANGER4, TCP, fragment, payload);
    let mut rows = vec![
        row("first fragment to port 104", from(MORE_FRAGMENTS, &whole(104)), STRANGER),
        row("first fragment to SSH", from(MORE_FRAGMENTS, &whole(22)), NOT_PROTECTED),
        row("first fragment from a peer", frame(PEER4, TCP, MORE_FRAGMENTS, &segment(PEER4, 104)), ALLOWED),
        row("tiny first fragment of 8 bytes to port 104", from(MORE_FRAGMENTS, &whole(104)[..8]), STRANGER),
        row("tiny first fragment of 8 bytes to SSH", from(MORE_FRAGMENTS, &whole(22)[..8]), NOT_PROTECTED),
        row("don't fragment", from(0x4000, &whole(104)), STRANGER),
        row("the evil bit (RFC 3514)", from(0x8000, &whole(104)), STRANGER),
        row("don't fragment, and more", from(0x6000, &whole(104)), STRANGER),
        row("offset 1 over the TCP flags", from(1, &whole(22)[8..]), FRAGMENT),
        row("offset 1, and more", from(MORE_FRAGMENTS | 1, &whole(22)[8..]), FRAGMENT),
        row("offset 1, without a byte", from(1, &[]), FRAGMENT),
        row("overlapping: offset 0 again to port 104", from(0, &whole(104)[..16]), STRANGER),
        row("overlapping: offset 2 inside the TCP header", from(2, &whole(22)[16..]), LATER_FRAGMENT),
        row("later fragment that looks like a SYN to port 104", from(185, &whole(104)), LATER_FRAGMENT),
        row("later fragment in the middle", from(MORE_FRAGMENTS | 185, &whole(104)), LATER_FRAGMENT),
        row("last offset, ping of death", from(0x1fff, &whole(104)), LATER_FRAGMENT),
        row("later fragment without a byte", from(185, &[]), LATER_FRAGMENT),
        row("UDP first fragment to 514", frame(STRANGER4, UDP, MORE_FRAGMENTS, &datagram), STRANGER),
        row("UDP fragment at offset 1", frame(STRANGER4, UDP, 1, &datagram[8..]), LATER_FRAGMENT),
        row("ICMP first fragment", frame(STRANGER4, 1, MORE_FRAGMENTS, &[8, 0, 0, 0, 0, 0, 0, 0]), NOT_TCP),
        row("ICMP later fragment", frame(STRANGER4, 1, 185, &[0; 8]), NOT_TCP),
        row("ICMP fragment at offset 1", frame(STRANGER4, 1, 1, &[0; 8]), NOT_TCP),
    ];
    for length in 0..4 {
        let cut = &whole(104)[..length];
        rows.push(row(format!("first fragment of {length} bytes"), from(MORE_FRAGMENTS, cut), FRAGMENT));
        rows.push(row(format!("whole packet of {length} bytes"), from(0, cut), TRUNCATED));
    }
    check(rows);
}
