//! Tunnels that carry a SYN to port 104: the outer packet is judged, for the inner one arrives elsewhere.

use super::{NOT_PROTECTED, NOT_TCP, STRANGER, carrying, check, here, row, syn};
use crate::{
    bench::{STRANGER4, STRANGER6, TCP_ONLY, ip},
    frames::build::{SYN, TCP, UDP, tcp, udp},
};

#[test]
fn tunnels() {
    let mut rows = Vec::new();
    for source in [STRANGER4, STRANGER6] {
        let inner = syn(source, 104);
        let ip_packet = &inner[14..];
        let to = ip(here(source));
        let gre = |kind: [u8; 2], payload: &[u8]| [&[0, 0], &kind[..], payload].concat();
        let kind = if source == STRANGER4 { [8, 0] } else { [0x86, 0xdd] };
        let vxlan = [&[8, 0, 0, 0, 0, 0, 42, 0][..], &inner].concat();
        let geneve = [&[0, 0, 0x65, 0x58, 0, 0, 42, 0][..], &inner].concat();
        let udp = |port, data: &[u8]| udp(ip(source), to, port, data);
        for (name, protocol, payload) in [
            ("IPIP", 4, ip_packet.to_vec()),
            ("6in4 or 6in6", 41, ip_packet.to_vec()),
            ("GRE", 47, gre(kind, ip_packet)),
            ("GRETAP", 47, gre([0x65, 0x58], &inner)),
            ("ESP", 50, [&[0; 8][..], ip_packet].concat()),
            ("EtherIP", 97, [&[0x30, 0][..], &inner].concat()),
            ("L2TP", 115, [&[0; 4][..], &inner].concat()),
        ] {
            let frame = carrying(source, protocol, &payload);
            rows.push(row(format!("{name} from {source}"), frame, NOT_TCP));
        }
        for (name, payload) in [
            ("VXLAN", udp(4789, &vxlan)),
            ("Geneve", udp(6081, &geneve)),
            ("WireGuard", udp(51_820, &[4; 96])),
            ("FOU", udp(5555, ip_packet)),
            ("TCP in UDP", udp(6080, &tcp(ip(source), to, 104, SYN))),
        ] {
            let frame = carrying(source, UDP, &payload);
            rows.push(row(format!("{name} from {source}"), frame.clone(), NOT_PROTECTED));
            rows.push(row(format!("{name} from {source}, no UDP service"), frame, NOT_TCP).under(TCP_ONLY));
        }
        // Whatever the segment carries, the outer port decides.
        let mut carrier = tcp(ip(source), to, 104, 0x18);
        carrier.extend(&inner);
        rows.push(row(
            format!("a SYN as data to port 104 of {source}"),
            carrying(source, TCP, &carrier),
            STRANGER,
        ));
    }
    check(rows);
}
