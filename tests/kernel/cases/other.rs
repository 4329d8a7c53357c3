//! What must always pass, every TCP flag, UDP, and modes.

use pacs_guard_common::{
    packet::Cause,
    verdict::{Reason, Verdict},
};

use super::{
    ALLOWED, NOT_GRANTED, NOT_PROTECTED, NOT_TCP, Row, STRANGER, carrying, check, here, row, syn, syn_to,
    unparsed, v4,
};
use crate::{
    bench::{AUDIT, HERE4, HERE6, MIXED, PEER4, PEER6, STRANGER4, STRANGER6, TCP_ONLY, ip},
    frames::build::{SYN, TCP, UDP, V4, tcp, udp},
};

fn segment(source: &str, port: u16, flags: u16) -> Vec<u8> {
    carrying(source, TCP, &tcp(ip(source), ip(here(source)), port, flags))
}

fn datagram(source: &str, port: u16) -> Vec<u8> {
    carrying(source, UDP, &udp(ip(source), ip(here(source)), port, b"datagram"))
}

#[test]
fn every_combination_of_tcp_flags() {
    let mut rows: Vec<Row> = Vec::new();
    for flags in 0..512 {
        for (source, expected) in [(PEER4, ALLOWED), (STRANGER4, STRANGER), (STRANGER6, STRANGER)] {
            let name = format!("TCP flags {flags:#05x} from {source}");
            rows.push(row(name, segment(source, 104, flags), expected));
        }
        let name = format!("TCP flags {flags:#05x} to SSH");
        rows.push(row(name, segment(STRANGER4, 22, flags), NOT_PROTECTED));
    }
    check(rows);
}

#[test]
fn ports() {
    let mut rows = Vec::new();
    for (port, expected) in [
        (0, NOT_PROTECTED),
        (22, NOT_PROTECTED),
        (103, NOT_PROTECTED),
        (104, STRANGER),
        (105, NOT_PROTECTED),
        (514, NOT_PROTECTED),
        (8042, STRANGER),
        (11_111, NOT_PROTECTED),
        (11_112, STRANGER),
        (65_535, NOT_PROTECTED),
    ] {
        rows.push(row(format!("TCP to {port}, IPv4"), syn(STRANGER4, port), expected));
        rows.push(row(format!("TCP to {port}, IPv6"), syn(STRANGER6, port), expected));
    }
    for (source, elsewhere) in [(STRANGER4, "10.20.0.2"), (STRANGER6, "2001:db8:20::2")] {
        let narrowed = syn_to(source, elsewhere, 8042);
        rows.push(row(format!("web at {elsewhere}, which is not guarded"), narrowed, NOT_PROTECTED));
        let everywhere = syn_to(source, elsewhere, 104);
        rows.push(row(format!("DICOM at {elsewhere}, behind this card"), everywhere, STRANGER));
    }
    // Answers to connections that the archive opens come from port 104, and go to an ephemeral one.
    for (name, flags) in [("SYN-ACK", 0x12), ("data", 0x18), ("FIN", 0x11), ("RST", 4)] {
        for source in [PEER4, PEER6, STRANGER4, STRANGER6] {
            let mut reply = tcp(ip(source), ip(here(source)), 40_000, flags);
            reply[..2].copy_from_slice(&104_u16.to_be_bytes());
            let frame = carrying(source, TCP, &reply);
            rows.push(row(format!("{name} from port 104 of {source}"), frame, NOT_PROTECTED));
        }
    }
    check(rows);
}

#[test]
fn udp_services() {
    let mut rows = Vec::new();
    for (source, stranger) in [(PEER4, false), (PEER6, false), (STRANGER4, true), (STRANGER6, true)] {
        for (port, protected) in [(104, true), (514, true), (53, false), (11_112, false)] {
            let expected = match (protected, stranger) {
                (false, _) => NOT_PROTECTED,
                (true, false) => ALLOWED,
                (true, true) => STRANGER,
            };
            let name = format!("UDP from {source} to {port}");
            rows.push(row(&name, datagram(source, port), expected));
            let none = row(format!("{name}, without a UDP service"), datagram(source, port), NOT_TCP);
            rows.push(none.under(TCP_ONLY));
        }
    }
    rows.push(row("UDP from a segment that is not granted it", datagram("10.30.0.7", 514), NOT_GRANTED));
    for length in 0..4 {
        let cut = &udp(ip(STRANGER4), ip(HERE4), 104, &[])[..length];
        let frame = carrying(STRANGER4, UDP, cut);
        rows.push(row(format!("UDP of {length} bytes"), frame, unparsed(Cause::Truncated)));
    }
    check(rows);
}

#[test]
fn what_keeps_a_network_alive_passes() {
    let icmp4 = |message: &[u8]| carrying(STRANGER4, 1, message);
    let icmp6 = |source: &str, to: &str, message: &[u8]| {
        let mut frame = carrying(source, 58, message);
        frame[38..54].copy_from_slice(&to.parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame
    };
    let too_big = [&[3, 4, 0, 0, 0, 0, 5, 0x78][..], &syn(HERE4, 104)[14..42]].concat();
    let too_big6 = [&[2, 0, 0, 0, 0, 0, 5, 0][..], &syn(HERE6, 104)[14..]].concat();
    let mut dhcp = udp(ip("0.0.0.0"), ip("255.255.255.255"), 67, &[1; 240]);
    dhcp[..2].copy_from_slice(&68_u16.to_be_bytes());
    let dhcp = V4::new(v4("0.0.0.0"), v4("255.255.255.255"), UDP).frame(&dhcp);
    let dhcp6 = datagram("fe80::1", 547);
    let mut rows = vec![
        row("ping", icmp4(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]), NOT_TCP),
        row("path MTU: fragmentation needed", icmp4(&too_big), NOT_TCP),
        row("path MTU: packet too big", icmp6(STRANGER6, HERE6, &too_big6), NOT_TCP),
        row("ping, IPv6", icmp6(STRANGER6, HERE6, &[128, 0, 0, 0, 0, 0, 0, 0]), NOT_TCP),
        row("neighbour solicitation", icmp6("fe80::1", "ff02::1:ff00:1", &[135; 32]), NOT_TCP),
        row("neighbour advertisement", icmp6("fe80::1", HERE6, &[136; 32]), NOT_TCP),
        row("duplicate address detection", icmp6("::", "ff02::1:ff00:1", &[135; 24]), NOT_TCP),
        row("router advertisement", icmp6("fe80::1", "ff02::1", &[134; 16]), NOT_TCP),
        row("MLD report behind router alert", mld(), NOT_TCP),
        row("DHCP, no UDP service", dhcp.clone(), NOT_TCP).under(TCP_ONLY),
        row("DHCP", dhcp, NOT_PROTECTED),
        row("DHCPv6", dhcp6, NOT_PROTECTED),
        row("DNS answer", datagram(STRANGER4, 40_000), NOT_PROTECTED),
        row("IGMP with router alert", igmp(), NOT_TCP),
    ];
    for protocol in [0, 2, 88, 89, 103, 112, 132, 136, 255] {
        let frame = carrying(STRANGER4, protocol, &tcp(ip(STRANGER4), ip(HERE4), 104, SYN));
        rows.push(row(format!("IPv4 protocol {protocol}"), frame, NOT_TCP));
    }
    check(rows);
}

fn igmp() -> Vec<u8> {
    V4 { options: vec![148, 4, 0, 0], ..V4::new(v4(STRANGER4), v4("224.0.0.22"), 2) }.frame(&[0x22; 16])
}

fn mld() -> Vec<u8> {
    let chain = crate::frames::build::Chain::new().with(0, vec![0, 5, 2, 0, 0, 1, 0]);
    chain.frame("fe80::1".parse().unwrap(), "ff02::16".parse().unwrap(), 58, &[143; 28])
}

#[test]
fn modes() {
    let would_drop = (Verdict::WouldDrop, Reason::NotInSegment);
    let cut = |port| carrying(STRANGER4, TCP, &tcp(ip(STRANGER4), ip(HERE4), port, SYN)[..3]);
    let truncated = Reason::Unparsed(Cause::Truncated);
    let fragment = V4 { fragment: 1, ..V4::new(v4(STRANGER4), v4(HERE4), TCP) }.frame(&[0; 20]);
    check(vec![
        row("enforced service in an audit policy", syn(STRANGER4, 104), STRANGER).under(MIXED),
        row("audited service", syn(STRANGER4, 8042), would_drop).under(MIXED),
        row("audited service, IPv6", syn(STRANGER6, 8042), would_drop).under(MIXED),
        row("unparsed takes the strictest mode", cut(104), (Verdict::Drop, truncated)).under(MIXED),
        row("a cause that the policy passes", fragment, (Verdict::Pass, Reason::Unparsed(Cause::Fragment)))
            .under(MIXED),
        row("audit policy", syn(STRANGER4, 104), would_drop).under(AUDIT),
        row("audit policy, peer", syn(PEER4, 104), ALLOWED).under(AUDIT),
        row("audit policy, unparsed", cut(104), (Verdict::WouldDrop, truncated)).under(AUDIT),
    ]);
}
