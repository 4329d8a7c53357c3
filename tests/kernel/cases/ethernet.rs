//! Tags, and what is not IP.

use pacs_guard_common::packet::Cause;

use super::{ALLOWED, NOT_IP, NOT_PROTECTED, Row, STRANGER, check, row, syn, unparsed};
use crate::{
    bench::{PEER4, PEER6, STRANGER4, STRANGER6},
    frames::build::{CTAG, IPV4, IPV6, STAG, ethernet},
};

/// A SYN behind tags.
fn tagged(tags: &[(u16, u16)], source: &str, port: u16) -> Vec<u8> {
    let ether_type = if source.contains(':') { IPV6 } else { IPV4 };
    ethernet(tags, ether_type, &syn(source, port)[14..])
}

#[test]
fn tags() {
    let stacks: [(&str, &[(u16, u16)]); 7] = [
        ("no tag", &[]),
        ("802.1Q", &[(CTAG, 100)]),
        ("802.1ad", &[(STAG, 100)]),
        ("priority tag (VLAN 0)", &[(CTAG, 0xe000)]),
        ("QinQ", &[(STAG, 100), (CTAG, 7)]),
        ("two 802.1Q tags", &[(CTAG, 100), (CTAG, 7)]),
        ("two priority tags", &[(CTAG, 0), (STAG, 0)]),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (name, tags) in stacks {
        for (source, expected) in
            [(PEER4, ALLOWED), (PEER6, ALLOWED), (STRANGER4, STRANGER), (STRANGER6, STRANGER)]
        {
            rows.push(row(format!("{name}, SYN from {source}"), tagged(tags, source, 104), expected));
            rows.push(row(format!("{name}, SSH from {source}"), tagged(tags, source, 22), NOT_PROTECTED));
        }
    }
    let three = [(STAG, 1), (CTAG, 2), (CTAG, 3)];
    rows.push(row("triple VLAN", tagged(&three, PEER4, 104), unparsed(Cause::VlanDepth)));
    rows.push(row("triple VLAN to SSH", tagged(&three, PEER4, 22), unparsed(Cause::VlanDepth)));
    let zero = [(CTAG, 0); 3];
    rows.push(row("triple priority tag", tagged(&zero, STRANGER6, 104), unparsed(Cause::VlanDepth)));
    rows.push(row("ten tags", tagged(&[(CTAG, 0); 10], STRANGER4, 104), unparsed(Cause::VlanDepth)));
    let old = tagged(&[(0x9100, 0)], STRANGER4, 104);
    rows.push(row("a tag of the old EtherType 0x9100, which Linux does not read", old, NOT_IP));
    check(rows);
}

#[test]
fn not_ip() {
    let arp =
        [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[2, 0, 0, 0, 0, 2, 203, 0, 113, 9, 0, 0, 0, 0, 0, 0, 10, 20, 0, 1]];
    let ip = &syn(STRANGER4, 104)[14..];
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], ip].concat();
    let mpls = [&[0, 0x06, 0x41, 0x40][..], ip].concat();
    check(vec![
        row("ARP", ethernet(&[], 0x0806, &arp.concat()), NOT_IP),
        row("ARP behind a tag", ethernet(&[(CTAG, 100)], 0x0806, &arp.concat()), NOT_IP),
        row("LLDP", ethernet(&[], 0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 2, 0, 0]), NOT_IP),
        row("LLC: spanning tree", ethernet(&[], 38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]), NOT_IP),
        row(
            "LLC/SNAP with IPv4 to port 104, which Linux delivers to nobody",
            ethernet(&[], 48, &snap),
            NOT_IP,
        ),
        row("the last length before EtherTypes", ethernet(&[], 0x05ff, &snap), NOT_IP),
        row("MPLS with IPv4 to port 104", ethernet(&[], 0x8847, &mpls), NOT_IP),
        row("MPLS multicast", ethernet(&[], 0x8848, &mpls), NOT_IP),
        row("PPPoE session", ethernet(&[], 0x8864, &[0x11, 0, 0, 1, 0, 2, 0, 0x21]), NOT_IP),
        row("802.1X", ethernet(&[], 0x888e, &[2, 1, 0, 0]), NOT_IP),
        row("flow control", ethernet(&[], 0x8808, &[0, 1, 0xff, 0xff]), NOT_IP),
        row("an Ethernet header alone", ethernet(&[], 0x0806, &[]), NOT_IP),
        row("EtherType 0", ethernet(&[], 0, ip), NOT_IP),
        row("EtherType 0xffff", ethernet(&[], 0xffff, ip), NOT_IP),
        row("IPv6 named IPv4", ethernet(&[], IPV4, &syn(PEER6, 104)[14..]), unparsed(Cause::IpHeader)),
        row("IPv4 named IPv6", ethernet(&[], IPV6, ip), unparsed(Cause::IpHeader)),
    ]);
}
