//! A hundred thousand prefixes in fifty segments, judged at their edges.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use ipnet::IpNet;

use super::{around, booked, card, compiled, now, reference};
use crate::{
    image::{Ledger, compile},
    policy::model::{Mode, Place, Policy, Segment, Service, Source, Transport},
};

const PREFIXES: u64 = 100_000;
const SEGMENTS: usize = 50;

/// Steele, Lea and Flood's SplitMix64: the same prefixes in every run.
fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ seed >> 31
}

/// Every other one IPv6; dense enough that they nest, and one in a thousand holds many others.
fn prefix(number: u64) -> IpNet {
    let (bits, length) = (mix(2 * number), mix(2 * number + 1));
    let wide = number % 1000 < 2;
    let (address, length) = if number.is_multiple_of(2) {
        let address = Ipv4Addr::from_bits(0x0a00_0000 | bits as u32 & 0x003f_ffff);
        (IpAddr::V4(address), if wide { 12 + length % 8 } else { 24 + length % 9 })
    } else {
        let (high, low) = (0x2001_0db8_0000_0000 | bits & 0xffff, bits >> 16 & 0xffff);
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        (IpAddr::V6(address), if wide { 48 + length % 17 } else { 58 + length % 71 })
    };
    IpNet::new(address, length as u8).unwrap().trunc()
}

fn policy(prefixes: u64) -> Policy {
    let place = Place { file: Arc::new(PathBuf::from("p.yaml")), line: 1, column: 1 };
    let source = |number| Source { prefix: prefix(number), place: place.clone() };
    let mut segments: Vec<Segment> = (0..SEGMENTS)
        .map(|number| Segment {
            name: format!("segment-{number}"),
            description: None,
            sources: Vec::new(),
            except: vec![source(mix(number as u64) % PREFIXES)],
            until: None,
            services: if number % 3 == 0 { Vec::new() } else { vec![0] },
            mode: (number % 7 == 0).then_some(Mode::Audit),
            place: place.clone(),
        })
        .collect();
    for number in 0..prefixes {
        segments[(mix(number) % SEGMENTS as u64) as usize].sources.push(source(number));
    }
    Policy {
        name: "large".into(),
        interfaces: Vec::new(),
        mode: Mode::Enforce,
        services: vec![Service {
            name: "dicom".into(),
            transport: Transport::Tcp,
            ports: vec![104..=104],
            addresses: Vec::new(),
            reset_to: Vec::new(),
            mode: None,
            place,
        }],
        segments,
        peers: Vec::new(),
        unparsed: Default::default(),
    }
}

#[test]
fn a_hundred_thousand_prefixes_are_judged_as_written() {
    let policy = policy(PREFIXES);
    let mut ledger = Ledger::default();
    let image = compiled(&policy, &mut ledger);
    let mut reasons = std::collections::BTreeSet::new();
    for sample in 0..60 {
        for source in around(prefix(mix(sample) % PREFIXES)) {
            let to = source;
            let found = booked(&image, &ledger, (source, to), Transport::Tcp, 104);
            reasons.insert(found.reason);
            let expected = reference::judge(&policy, (source, to), Transport::Tcp, 104, now().wall);
            assert_eq!(found, expected, "{source}");
        }
    }
    assert!(reasons.len() >= 2, "the sample tells nothing apart: {reasons:?}");
}

/// As many segments as there may be over one prefix, and in it 100,000 addresses of theirs.
fn crowded(nested: bool) -> Policy {
    let mut policy = policy(0);
    let place = policy.services[0].place.clone();
    let source = |prefix: IpNet| Source { prefix, place: place.clone() };
    let prefix = |host: u32, length| {
        source(IpNet::new(Ipv4Addr::from_bits(0x0a00_0000 + 2 * host).into(), length).unwrap())
    };
    let mut sources = vec![vec![source("10.0.0.0/8".parse().unwrap())]; 4096];
    for host in 0..100_000 {
        // Eight in a prefix of one more segment, so that few of them are in the same set.
        if nested && host % 8 == 0 {
            sources[(host / 8 * 7 % 4096) as usize].push(prefix(host, 28));
        }
        sources[(host % 4096) as usize].push(prefix(host, 32));
    }
    let segments = sources.into_iter().enumerate().map(|(number, sources)| Segment {
        name: format!("segment-{number}"),
        description: None,
        sources,
        except: Vec::new(),
        services: if number == 700 { vec![0] } else { Vec::new() },
        mode: None,
        until: None,
        place: place.clone(),
    });
    policy.segments = segments.collect();
    policy
}

#[test]
fn a_hundred_thousand_addresses_in_one_prefix_of_4096_segments_fit() {
    let policy = crowded(false);
    let mut ledger = Ledger::default();
    let image = compiled(&policy, &mut ledger);
    for host in [0, 700, 4796, 99_999, 100_001] {
        let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 2 * host));
        let found = booked(&image, &ledger, (source, source), Transport::Tcp, 104);
        assert_eq!(
            found,
            reference::judge(&policy, (source, source), Transport::Tcp, 104, now().wall),
            "{source}"
        );
    }
}

/// Without a bound, this would take 3 GB.
#[test]
fn too_many_sets_of_segments_are_refused() {
    let policy = crowded(true);
    let mut ledger = Ledger::default();
    let refused = compile(&policy, &mut ledger, 1, &card(&policy)).err().unwrap();
    assert_eq!(refused.kind(), "overlap", "{refused}");
}

/// Many segments over one prefix: no set of them may cost their square.
#[test]
fn a_thousand_segments_over_one_prefix_are_judged_as_written() {
    let mut policy = policy(0);
    let place = policy.services[0].place.clone();
    let source = |prefix: IpNet| Source { prefix, place: place.clone() };
    let host = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 2 * number));
    policy.segments = (0..1024)
        .map(|number| Segment {
            name: format!("segment-{number}"),
            description: None,
            sources: vec![source("10.0.0.0/8".parse().unwrap()), source(host(number).into())],
            except: Vec::new(),
            until: None,
            services: if number == 700 { vec![0] } else { Vec::new() },
            mode: (number == 900).then_some(Mode::Audit),
            place: place.clone(),
        })
        .collect();
    let mut ledger = Ledger::default();
    let image = compiled(&policy, &mut ledger);
    for source in (0..1024).step_by(100).flat_map(|number| around(host(number).into())) {
        let found = booked(&image, &ledger, (source, source), Transport::Tcp, 104);
        assert_eq!(
            found,
            reference::judge(&policy, (source, source), Transport::Tcp, 104, now().wall),
            "{source}"
        );
    }
}
