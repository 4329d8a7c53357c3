//! Random policies whose prefixes collide: nested, equal, neighbours, and cut out of each other.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use ipnet::IpNet;
use pacs_guard_common::packet::Cause;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::PORTS;
use crate::policy::model::{Mode, Place, Policy, Segment, Service, Source, Transport, UnparsedAction};

/// A few addresses, so that most prefixes meet, and the ends of the address space.
fn prefix() -> impl Strategy<Value = IpNet> {
    let v4 = select(vec![0, 0x0a00_0000_u32, 0x0a00_0001, 0x0a00_0080, 0x0a00_00ff, 0x0a00_0100, u32::MAX]);
    let v4_length = select(vec![0_u8, 1, 8, 23, 24, 25, 30, 31, 32]);
    let v4 = (v4, v4_length).prop_map(|(bits, length)| (IpAddr::V4(Ipv4Addr::from_bits(bits)), length));
    let half =
        || select(vec![0_u64, 1, 0x2001_0db8_0000_0000, 0x2001_0db8_0000_0001, u64::MAX - 1, u64::MAX]);
    let v6_length = select(vec![0_u8, 1, 32, 62, 63, 64, 65, 66, 96, 126, 127, 128]);
    let v6 = (half(), half(), v6_length).prop_map(|(high, low, length)| {
        (IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))), length)
    });
    prop_oneof![v4, v6].prop_map(|(address, length)| IpNet::new(address, length).unwrap().trunc())
}

fn place() -> Place {
    Place { file: Arc::new(PathBuf::from("p.yaml")), line: 1, column: 1 }
}

fn sources(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Source>> {
    vec(prefix().prop_map(|prefix| Source { prefix, place: place() }), count)
}

fn mode() -> impl Strategy<Value = Mode> {
    select(vec![Mode::Audit, Mode::Enforce])
}

/// Services that share no port: each takes the ports that the draw gives it.
fn services() -> impl Strategy<Value = Vec<Service>> {
    let owner = vec(0..4_usize, PORTS.len());
    let service = (select(vec![Transport::Tcp, Transport::Tcp, Transport::Udp]), option::of(mode()));
    let prefixes = || prop_oneof![3 => Just(Vec::new()).boxed(), 1 => vec(prefix(), 1..4).boxed()];
    (owner, vec(service, 3), vec((prefixes(), prefixes()), 3)).prop_map(|(owner, services, prefixes)| {
        let services = services.into_iter().zip(prefixes).enumerate();
        let services = services.map(|(index, ((transport, mode), (addresses, reset_to)))| {
            let ports = PORTS.iter().zip(&owner).filter(|(_, owner)| **owner == index);
            Service {
                name: format!("service-{index}"),
                transport,
                ports: ports.map(|(port, _)| *port..=*port).collect(),
                addresses,
                reset_to,
                mode,
                place: place(),
            }
        });
        services.filter(|service| !service.ports.is_empty()).collect()
    })
}

fn segment(services: usize) -> impl Strategy<Value = Segment> {
    let granted = vec(any::<bool>(), services);
    let until = option::weighted(0.4, select(super::times().to_vec()));
    (sources(0..5), sources(0..3), granted, until, option::weighted(0.3, mode())).prop_map(
        |(sources, except, granted, until, mode)| Segment {
            name: String::new(),
            description: None,
            sources,
            except,
            until,
            services: (0..).zip(granted).filter(|(_, granted)| *granted).map(|(index, _)| index).collect(),
            mode,
            place: place(),
        },
    )
}

/// Segment names come from a small pool and in any order, as they do when a policy is edited.
fn segments(services: usize) -> impl Strategy<Value = Vec<Segment>> {
    let names = Just((0..8).map(|name| format!("segment-{name}")).collect::<Vec<_>>()).prop_shuffle();
    (names, vec(segment(services), 0..6)).prop_map(|(names, segments)| {
        names.into_iter().zip(segments).map(|(name, segment)| Segment { name, ..segment }).collect()
    })
}

/// A policy as validation could have made it.
pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let unparsed = prop::collection::btree_map(
        select(Cause::ALL.to_vec()),
        select(vec![UnparsedAction::Drop, UnparsedAction::Pass]),
        0..5,
    );
    (services(), mode(), unparsed).prop_flat_map(|(services, mode, unparsed)| {
        segments(services.len()).prop_map(move |segments| Policy {
            name: "random".into(),
            interfaces: Vec::new(),
            mode,
            services: services.clone(),
            segments,
            peers: Vec::new(),
            unparsed: unparsed.clone(),
        })
    })
}
