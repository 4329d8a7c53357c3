//! The search against the kernel's own longest-prefix trie: both must know the same sources by the same segment.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use aya::maps::{LpmTrie, MapData, lpm_trie::Key};
use pacs_guard_common::verdict::{Verdict, judge};

use crate::{
    bench::Bench,
    frames::{
        build::{IPV4, IPV6, SYN, TCP, V4, V6, ethernet, tcp},
        random,
    },
};

/// `BPF_F_NO_PREALLOC`: a trie takes nothing else.
const TRIE_FLAGS: u32 = 1;
const PREFIXES: u64 = 3_000;
const SEGMENTS: u64 = 7;

/// SplitMix64 (Steele, Lea and Flood).
fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    seed ^ seed >> 27
}

/// A prefix of any length: half of them crowd in one network, so that they nest, and both ends of the space are hit.
fn prefix(seed: u64, number: u64) -> (IpAddr, u32) {
    let (bits, kind) = (mix(seed ^ number), mix(seed ^ number << 32));
    if number.is_multiple_of(2) {
        let address = match kind % 4 {
            0 | 1 => 0x0a14_0000 | bits as u32 & 0xffff,
            2 => bits as u32,
            _ => [0, u32::MAX][kind as usize >> 4 & 1],
        };
        let length = 8 + (kind >> 8) as u32 % 25;
        (IpAddr::V4(Ipv4Addr::from_bits(address & u32::MAX << (32 - length))), length)
    } else {
        let (high, low) = match kind % 4 {
            0 | 1 => (0x2001_0db8_0000_0000 | bits & 0xff, mix(bits) & 0xff),
            2 => (bits, mix(bits)),
            _ => [(0, 0), (u64::MAX, u64::MAX)][kind as usize >> 4 & 1],
        };
        let length = 16 + (kind >> 8) as u32 % 113;
        let address = (u128::from(high) << 64 | u128::from(low)) & u128::MAX << (128 - length);
        (IpAddr::V6(Ipv6Addr::from_bits(address)), length)
    }
}

/// The prefix's ends, their neighbours, and a place inside.
fn probes((address, length): (IpAddr, u32)) -> [IpAddr; 5] {
    match address {
        IpAddr::V4(first) => {
            let (first, size) = (first.to_bits(), u32::MAX.checked_shr(length).unwrap_or(0));
            let at = [
                first.wrapping_sub(1),
                first,
                first + size / 3,
                first + size,
                (first + size).wrapping_add(1),
            ];
            at.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        IpAddr::V6(first) => {
            let (first, size) = (first.to_bits(), u128::MAX.checked_shr(length).unwrap_or(0));
            let at = [
                first.wrapping_sub(1),
                first,
                first + size / 3,
                first + size,
                (first + size).wrapping_add(1),
            ];
            at.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
    }
}

fn frame(source: IpAddr) -> Vec<u8> {
    match source {
        IpAddr::V4(source) => {
            let to = Ipv4Addr::new(192, 0, 2, 1);
            ethernet(&[], IPV4, &V4::new(source, to, TCP).packet(&tcp(source.into(), to.into(), 104, SYN)))
        }
        IpAddr::V6(source) => {
            let to = Ipv6Addr::LOCALHOST;
            ethernet(&[], IPV6, &V6::new(source, to, TCP).packet(&tcp(source.into(), to.into(), 104, SYN)))
        }
    }
}

#[test]
fn the_search_finds_what_the_kernels_trie_finds() {
    let seed = random::seed();
    let mut v4: LpmTrie<MapData, [u8; 4], u32> = LpmTrie::create(PREFIXES as u32, TRIE_FLAGS).unwrap();
    let mut v6: LpmTrie<MapData, [u8; 16], u32> = LpmTrie::create(PREFIXES as u32, TRIE_FLAGS).unwrap();
    let mut sources = vec![String::new(); SEGMENTS as usize];
    let mut prefixes: Vec<(IpAddr, u32)> = (0..PREFIXES).map(|number| prefix(seed, number)).collect();
    // The same prefix in two segments would be booked on the first, and in the trie be the last one's.
    prefixes.sort_unstable();
    prefixes.dedup();
    for (prefix, number) in prefixes.iter().zip(0..) {
        let segment = mix(number) % SEGMENTS;
        let (address, length) = *prefix;
        match address {
            IpAddr::V4(address) => v4.insert(&Key::new(length, address.octets()), segment as u32, 0).unwrap(),
            IpAddr::V6(address) => v6.insert(&Key::new(length, address.octets()), segment as u32, 0).unwrap(),
        }
        write!(sources[segment as usize], "\"{address}/{length}\", ").unwrap();
    }
    let mut text = String::from(
        "version: 1\nname: trie\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\nsegments:\n",
    );
    for (number, sources) in sources.iter().enumerate() {
        writeln!(text, "  segment-{number}: {{ services: [dicom], sources: [{sources}] }}").unwrap();
    }
    let bench = Bench::new(&text);
    let Bench { image, ledger, mut trial } = bench;
    let mut known = [0_u32; 2];
    for source in prefixes.iter().flat_map(|prefix| probes(*prefix)) {
        let segment = match source {
            IpAddr::V4(source) => v4.get(&Key::new(32, source.octets()), 0),
            IpAddr::V6(source) => v6.get(&Key::new(128, source.octets()), 0),
        };
        let expected = segment.ok().map(|number| format!("segment-{number}"));
        let frame = frame(source);
        let booking = ledger.booking(judge(&&frame[..], &image).ruling.counter).unwrap();
        assert_eq!(booking.segment.as_deref(), expected.as_deref(), "seed {seed}, {source}");
        assert_eq!(booking.verdict == Verdict::Allow, expected.is_some(), "seed {seed}, {source}");
        assert_eq!(trial.drops(&frame, 1).unwrap(), expected.is_none(), "seed {seed}, {source}");
        known[usize::from(expected.is_some())] += 1;
    }
    assert!(known.iter().all(|count| *count > 500), "the probes tell nothing apart: {known:?}");
}
