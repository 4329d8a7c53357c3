//! Sources: special addresses, exceptions, prefixes of every length at their edges.

use super::{ALLOWED, Expected, NOT_GRANTED, Row, STRANGER, check, row, syn, syn_to};
use crate::bench::{HERE4, HERE6, WORLD4, WORLD6};

fn rows(sources: &[(&str, u16, Expected)]) -> Vec<Row> {
    let row = |&(source, port, expected)| row(format!("{source} to {port}"), syn(source, port), expected);
    sources.iter().map(row).collect()
}

#[test]
fn segments_at_their_edges() {
    check(rows(&[
        ("10.19.255.255", 104, STRANGER),
        ("10.20.0.0", 104, ALLOWED),
        ("10.20.0.65", 104, ALLOWED),
        ("10.20.0.66", 104, STRANGER),
        ("10.20.0.67", 104, ALLOWED),
        ("10.20.0.255", 104, ALLOWED),
        ("10.20.1.0", 104, STRANGER),
        ("10.20.0.7", 8042, NOT_GRANTED),
        ("10.30.0.6", 8042, STRANGER),
        ("10.30.0.7", 8042, ALLOWED),
        ("10.30.0.7", 104, NOT_GRANTED),
        ("10.30.0.8", 8042, STRANGER),
        ("2001:db8:1f:ffff:ffff:ffff:ffff:ffff", 104, STRANGER),
        ("2001:db8:20::", 104, ALLOWED),
        ("2001:db8:20::65", 104, ALLOWED),
        ("2001:db8:20::66", 104, STRANGER),
        ("2001:db8:20::67", 104, ALLOWED),
        ("2001:db8:20:0:ffff:ffff:ffff:ffff", 104, ALLOWED),
        ("2001:db8:20:1::", 104, STRANGER),
        ("2001:db8:30::6", 8042, STRANGER),
        ("2001:db8:30::7", 8042, ALLOWED),
        ("2001:db8:30::8", 8042, STRANGER),
        ("2001:db8:30::7", 104, NOT_GRANTED),
    ]));
}

#[test]
fn special_sources_are_judged_as_what_they_are() {
    let mut rows = rows(&[
        ("0.0.0.0", 104, STRANGER),
        ("127.0.0.1", 104, STRANGER),
        ("169.254.0.1", 104, STRANGER),
        ("224.0.0.1", 104, STRANGER),
        ("255.255.255.255", 104, STRANGER),
        ("::", 104, STRANGER),
        ("::1", 104, STRANGER),
        ("fe80::1", 104, STRANGER),
        ("ff02::1", 104, STRANGER),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 104, STRANGER),
        // 10.20.0.7 is in the segment; the same written as an IPv6 address is not.
        ("::ffff:10.20.0.7", 104, STRANGER),
        ("::10.20.0.7", 104, STRANGER),
        ("64:ff9b::10.20.0.7", 104, STRANGER),
        ("2002:a14:7::", 104, STRANGER),
    ]);
    rows.push(row("our own address, IPv4", syn_to(HERE4, HERE4, 104), ALLOWED));
    rows.push(row("our own address, IPv6", syn_to(HERE6, HERE6, 104), ALLOWED));
    rows.push(row("to a multicast group", syn_to("203.0.113.9", "224.0.0.1", 104), STRANGER));
    rows.push(row("to the broadcast address", syn_to("203.0.113.9", "255.255.255.255", 104), STRANGER));
    check(rows);
}

#[test]
fn a_prefix_of_length_0_is_its_whole_family_and_no_more() {
    let mut rows = Vec::new();
    for source in ["0.0.0.0", "0.0.0.1", "127.255.255.255", "128.0.0.0", "255.255.255.255"] {
        rows.push(row(format!("{source}, 0.0.0.0/0"), syn(source, 104), ALLOWED).under(WORLD4));
        rows.push(row(format!("{source}, ::/0"), syn(source, 104), STRANGER).under(WORLD6));
    }
    for source in
        ["::", "::ffff:10.20.0.7", "::10.20.0.7", "8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
    {
        rows.push(row(format!("{source}, 0.0.0.0/0"), syn(source, 104), STRANGER).under(WORLD4));
        rows.push(row(format!("{source}, ::/0"), syn(source, 104), ALLOWED).under(WORLD6));
    }
    check(rows);
}
