//! Every length that a SYN can be cut to.

use pacs_guard_common::packet::Cause;

use super::{Expected, Row, STRANGER, check, row, syn, unparsed, v6};
use crate::{
    bench::{HERE6, STRANGER4, STRANGER6},
    frames::build::{CTAG, Chain, DESTINATION, HOP_BY_HOP, IPV4, IPV6, STAG, SYN, TCP, ethernet, tcp},
};

const TRUNCATED: Expected = unparsed(Cause::Truncated);
const LENGTH: Expected = unparsed(Cause::Length);

/// A frame, and how long its headers are up to the first byte of the TCP header.
struct Whole {
    name: &'static str,
    frame: Vec<u8>,
    ip: usize,
    tcp: usize,
}

fn wholes() -> Vec<Whole> {
    let (ip4, ip6) = (syn(STRANGER4, 104)[14..].to_vec(), syn(STRANGER6, 104)[14..].to_vec());
    let (source, to) = (v6(STRANGER6), v6(HERE6));
    let chain = Chain::new().options(HOP_BY_HOP, 0).options(DESTINATION, 1);
    let extended = chain.frame(source, to, TCP, &tcp(source.into(), to.into(), 104, SYN));
    let mut wholes = vec![Whole { name: "SYN behind extension headers", frame: extended, ip: 14, tcp: 78 }];
    for (name, tags) in
        [("untagged", &[][..]), ("VLAN", &[(CTAG, 100)][..]), ("QinQ", &[(STAG, 100), (CTAG, 7)][..])]
    {
        let ip = 14 + 4 * tags.len();
        let (name4, name6) = match name {
            "untagged" => ("IPv4 SYN", "IPv6 SYN"),
            "VLAN" => ("VLAN IPv4 SYN", "VLAN IPv6 SYN"),
            _ => ("QinQ IPv4 SYN", "QinQ IPv6 SYN"),
        };
        wholes.push(Whole { name: name4, frame: ethernet(tags, IPV4, &ip4), ip, tcp: ip + 20 });
        wholes.push(Whole { name: name6, frame: ethernet(tags, IPV6, &ip6), ip, tcp: ip + 40 });
    }
    wholes
}

/// Where the length field lies, and what it leaves out, by the frame's EtherType.
fn length_field(whole: &Whole) -> (usize, usize) {
    if whole.frame[whole.ip] >> 4 == 4 { (whole.ip + 2, whole.ip) } else { (whole.ip + 4, whole.ip + 40) }
}

#[test]
fn every_length() {
    let mut rows: Vec<Row> = Vec::new();
    for whole in wholes() {
        let Whole { name, frame, ip, .. } = &whole;
        let fixed = if frame[*ip] >> 4 == 4 { ip + 20 } else { ip + 40 };
        for length in 0..frame.len() {
            let expected = if length < fixed { TRUNCATED } else { LENGTH };
            rows.push(row(format!("{name} cut to {length}"), frame[..length].to_vec(), expected));
        }
        rows.push(row(format!("{name} whole"), frame.clone(), STRANGER));
    }
    check(rows);
}

/// A sender who cuts a packet can make its length field honest.
#[test]
fn every_length_with_a_length_field_that_fits() {
    let mut rows: Vec<Row> = Vec::new();
    for whole in wholes() {
        let (field, before) = length_field(&whole);
        let Whole { name, frame, ip, tcp } = &whole;
        let fixed = if frame[*ip] >> 4 == 4 { ip + 20 } else { ip + 40 };
        for length in fixed..frame.len() {
            let mut cut = frame[..length].to_vec();
            cut[field..field + 2].copy_from_slice(&((length - before) as u16).to_be_bytes());
            let expected = if length < tcp + 4 { TRUNCATED } else { STRANGER };
            rows.push(row(format!("{name} made to be {length}"), cut.clone(), expected));
            // Padding to the shortest frame of a wire must not be taken for ports.
            if length < tcp + 4 && length > before {
                let padded = [&cut[..], &frame[length..], &[0; 20]].concat();
                rows.push(row(format!("{name} made to be {length}, and padded"), padded, TRUNCATED));
            }
        }
    }
    check(rows);
}
