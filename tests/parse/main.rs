//! The parser: no bytes make it panic, and it agrees with a naive reading and with another parser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../frames/mod.rs"]
mod frames;
mod naive;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use frames::{
    generate::{Generator, Pool},
    random,
};
use pacs_guard_common::packet::{Content, Headers, Parsed, Transport, parse as parse_frame};
use proptest::prelude::*;

fn generator(seed: u64) -> Generator {
    let sources6 = ["2001:db8:20::7", "::ffff:10.20.0.7", "::1"].map(|text| text.parse().unwrap());
    Generator::new(
        seed,
        Pool {
            sources4: vec![[10, 20, 0, 7].into(), [127, 0, 0, 1].into()],
            sources6: sources6.to_vec(),
            to4: vec![[10, 20, 0, 1].into()],
            to6: vec!["2001:db8:20::1".parse().unwrap()],
            ports: vec![104, 22],
        },
    )
}

/// Reads a frame. Where a packet does not say how long it is, its end is the frame's, which only a read finds.
fn parse(frame: &&[u8]) -> Parsed {
    let mut parsed = parse_frame(frame);
    if usize::from(parsed.packet.transport_at) + 14 > frame.len() {
        parsed.packet.transport_at = 0;
    }
    parsed
}

#[test]
fn a_connection_goes_on_by_anything_but_its_first_packet() {
    let mut seen = std::collections::BTreeMap::new();
    for frame in generator(random::seed()).take(100_000) {
        let parsed = naive::parse(&frame);
        if parsed.content != Content::Ports(Transport::Tcp) {
            continue;
        }
        let at = usize::from(parsed.packet.transport_at);
        let flags = (at > 0).then(|| frame[at + 13]);
        let expected = flags.is_some_and(|flags| flags & 0x02 == 0 || flags & 0x10 != 0);
        let frame = &frame[..];
        assert_eq!(Headers::read(&frame).goes_on(&frame), expected, "{flags:?}: {frame:02x?}");
        *seen.entry((flags.is_some(), expected)).or_insert(0) += 1;
    }
    println!("{seen:?}");
    assert_eq!(seen.len(), 3, "cut, first and later packets");
}

#[test]
fn generated_frames_are_read_as_the_naive_reading_reads_them() {
    let seed = random::seed();
    let mut contents = std::collections::BTreeMap::new();
    for (number, frame) in generator(seed).take(100_000).enumerate() {
        let parsed = parse(&&frame[..]);
        assert_eq!(parsed, naive::parse(&frame), "frame {number}: {frame:02x?}");
        *contents.entry(format!("{:?}", parsed.content)).or_insert(0) += 1;
    }
    println!("{contents:#?}");
    assert_eq!(contents.len(), 12, "every content and every cause");
}

#[test]
fn every_cut_of_generated_frames_is_read_as_the_naive_reading_reads_it() {
    let seed = random::seed();
    for (number, frame) in generator(seed).take(2_000).enumerate() {
        for length in 0..frame.len().min(200) {
            let cut = &frame[..length];
            assert_eq!(parse(&cut), naive::parse(cut), "frame {number} cut at {length}: {cut:02x?}");
        }
    }
}

#[test]
fn where_etherparse_finds_ports_they_are_the_same() {
    let seed = random::seed();
    let (mut told, mut all) = (0, 0);
    for (number, frame) in generator(seed).take(50_000).enumerate() {
        let Parsed { packet, content } = parse(&&frame[..]);
        all += usize::from(matches!(content, Content::Ports(_)));
        let Ok(sliced) = SlicedPacket::from_ethernet(&frame) else { continue };
        let found = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => (Transport::Tcp, tcp.source_port(), tcp.destination_port()),
            Some(TransportSlice::Udp(udp)) => (Transport::Udp, udp.source_port(), udp.destination_port()),
            _ => continue,
        };
        // It takes 0x9100 for a tag, and Linux does not.
        if frame.get(12..24).unwrap().chunks(4).any(|word| word.starts_with(&[0x91, 0])) {
            continue;
        }
        // It reads three tags and any number of headers; those frames are the bounds' to refuse.
        if let Content::Unparsed(cause) = content {
            use pacs_guard_common::packet::Cause::{ExtensionHeaders, VlanDepth};
            assert!(matches!(cause, ExtensionHeaders | VlanDepth), "frame {number}, {cause:?}: {frame:02x?}");
            continue;
        }
        let Content::Ports(transport) = content else { panic!("frame {number}, {content:?}: {frame:02x?}") };
        assert_eq!((transport, packet.source_port, packet.destination_port), found, "frame {number}");
        let source = match sliced.net.unwrap() {
            NetSlice::Ipv4(ipv4) => ipv4.header().source_addr().into(),
            NetSlice::Ipv6(ipv6) => ipv6.header().source_addr().into(),
            other => panic!("ports in {other:?}"),
        };
        assert_eq!(packet.source.to_ip(), Some(source), "frame {number}");
        told += 1;
    }
    println!("etherparse found ports in {told} of {all} frames with ports");
    assert!(told * 2 > all, "etherparse told too little to be a witness: {told} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert_eq!(parse(&&bytes[..]), naive::parse(&bytes));
    }

    #[test]
    fn any_bytes_behind_an_ip_ether_type_are_read(
        kind in prop::sample::select(vec![[0x08, 0x00, 0x45], [0x08, 0x00, 0x4f], [0x86, 0xdd, 0x60]]),
        header in prop::sample::select(vec![0_u8, 6, 17, 43, 44, 51, 60]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut frame = vec![2; 12];
        frame.extend(kind);
        frame.extend(bytes);
        // The next header of IPv6 and the protocol of IPv4; lengths that fit, since random ones do not.
        let (at, length) = if frame[12] == 8 { (23, 0) } else { (20, 4) };
        if frame.len() > 30 {
            frame[at] = header;
            let field = 16 + length / 2;
            frame[field..field + 2].copy_from_slice(&[0, 0]);
        }
        prop_assert_eq!(parse(&&frame[..]), naive::parse(&frame));
    }
}

/// The last option's length byte lies behind such a frame, which is still no whole header's fault.
#[test]
fn a_first_fragment_that_ends_with_its_options_is_a_fragment() {
    use frames::build::{MORE_FRAGMENTS, TCP, V4};
    let mut header = V4::new([10, 20, 0, 7].into(), [10, 20, 0, 1].into(), TCP);
    (header.options, header.fragment) = (vec![1; 4], MORE_FRAGMENTS);
    let frame = header.frame(&[]);
    assert_eq!(parse(&&frame[..]).content, Content::Unparsed(pacs_guard_common::packet::Cause::Fragment));
}
