//! Images of random policies, judged as a naive reading of the design says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drains;
mod large;
mod policies;
mod reference;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use etherparse::PacketBuilder;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use pacs_guard_common::{
    packet::Cause,
    verdict::{Judgement, PolicyView, Reason, Verdict, judge},
};
use proptest::prelude::*;

use super::{Booking, Card, Circumstances, Enforces, Image, Ledger, compile_for};
use crate::{
    boot_time::BootTime,
    clock::Clock,
    policy::model::{Mode, Policy, Transport, UnparsedAction},
};

/// Every port that a random service may protect, and two that none does.
const PORTS: [u16; 8] = [1, 103, 104, 105, 11_112, 11_113, 65_534, 65_535];

/// When every policy here is compiled, if nothing else is said.
fn now() -> Clock {
    Clock {
        wall: Timestamp::from_second(1_800_000_000).unwrap(),
        boot: BootTime::from_nanoseconds(1_000_000_000_000).unwrap(),
    }
}

/// When segments may end: one has ended before all others begin to be judged.
fn times() -> [Timestamp; 5] {
    [-60, 10, 20, 30, 3600].map(|seconds| now().wall + SignedDuration::from_secs(seconds))
}

/// The instants between which nothing changes, each edge from both sides.
fn instants() -> impl Iterator<Item = Timestamp> {
    let around = |at: Timestamp| [-1, 0, 1].map(|away| at + SignedDuration::from_nanos(away));
    times().into_iter().skip(1).flat_map(around).chain([now().wall])
}

fn card(policy: &Policy) -> Card {
    Card {
        enforced: false,
        bypass: None,
        policy: policy.name.clone(),
        file: String::new(),
        sha256: String::new(),
        loaded: jiff::Timestamp::UNIX_EPOCH,
        enforces: Enforces::Some,
        segments: policy.segments.len(),
        services: policy.services.len(),
        sources: 0,
        ends: Vec::new(),
        draining: Vec::new(),
    }
}

fn compiled(policy: &Policy, ledger: &mut Ledger) -> Image {
    compiled_for(policy, &Circumstances { clock: now(), drain: &[], bypass: false }, ledger)
}

fn compiled_for(policy: &Policy, circumstances: &Circumstances<'_>, ledger: &mut Ledger) -> Image {
    compile_for(policy, circumstances, ledger, 1, &card(policy)).unwrap()
}

/// The first packet from a source to a port.
fn frame(source: IpAddr, to: IpAddr, transport: Transport, port: u16) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => ethernet.ipv4(source.octets(), to.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(to)) => ethernet.ipv6(source.octets(), to.octets(), 64),
        _ => panic!("{source} and {to} are of two families"),
    };
    let mut frame = Vec::new();
    match transport {
        Transport::Tcp => ip.tcp(49_152, port, 0, 64_240).syn().write(&mut frame, &[]).unwrap(),
        Transport::Udp => ip.udp(49_152, port).write(&mut frame, &[]).unwrap(),
    }
    frame
}

/// Judges one packet, and says what it is booked on.
fn booked(
    image: &impl PolicyView,
    ledger: &Ledger,
    (source, to): (IpAddr, IpAddr),
    transport: Transport,
    port: u16,
) -> Booking {
    let Judgement { ruling, .. } = judge(&&frame(source, to, transport, port)[..], image);
    let booking = ledger.booking(ruling.counter).unwrap();
    assert_eq!((booking.verdict, booking.reason), (ruling.verdict, ruling.reason));
    booking
}

/// Whether the image answers with a reset.
fn resets(image: &impl PolicyView, source: IpAddr, to: IpAddr, transport: Transport, port: u16) -> bool {
    judge(&&frame(source, to, transport, port)[..], image).ruling.resets
}

/// The addresses where a policy can change its mind: each prefix's ends and their neighbours.
fn edges(policy: &Policy) -> Vec<IpAddr> {
    let sources = policy.segments.iter().flat_map(|segment| segment.sources.iter().chain(&segment.except));
    let prefixes = sources.map(|source| source.prefix);
    let services = policy.services.iter();
    let prefixes = prefixes
        .chain(services.flat_map(|service| service.addresses.iter().chain(&service.reset_to).copied()));
    let mut edges: Vec<IpAddr> = prefixes.flat_map(around).collect();
    edges.extend(["192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1", "::10.0.0.1"].map(|text| {
        let address: IpAddr = text.parse().unwrap();
        address
    }));
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn around(prefix: IpNet) -> Vec<IpAddr> {
    let (first, last) = (prefix.network(), prefix.broadcast());
    let step = |address: IpAddr, by: i128| match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().wrapping_add(by as u32))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().wrapping_add(by as u128))),
    };
    vec![step(first, -1), first, step(first, 1), step(last, -1), last, step(last, 1)]
}

fn agree(policy: &Policy, image: &Image, ledger: &Ledger) -> Result<(), TestCaseError> {
    let edges = edges(policy);
    let instants: Vec<Timestamp> = instants().collect();
    let mut turn = instants.iter().cycle();
    for (number, source) in edges.iter().enumerate() {
        let of_family = |other: &&IpAddr| other.is_ipv4() == source.is_ipv4();
        // Another destination for each source, so that all edges come up as one.
        let destinations: Vec<_> = edges.iter().filter(of_family).collect();
        let to = *destinations[number % destinations.len()];
        for port in PORTS {
            for transport in [Transport::Tcp, Transport::Udp] {
                // Another instant for each, as with the destinations.
                let at = *turn.next().unwrap();
                let image = &image.at(now().boot_time(at));
                let found = booked(image, ledger, (*source, to), transport, port);
                let expected = reference::judge(policy, (*source, to), transport, port, at);
                let reset = reference::resets(policy, *source, &expected);
                prop_assert_eq!(
                    found,
                    expected,
                    "{} to {} port {} {:?} at {}",
                    source,
                    to,
                    port,
                    transport,
                    at
                );
                prop_assert_eq!(resets(image, *source, to, transport, port), reset, "reset of {}", source);
            }
        }
    }
    Ok(())
}

/// Small enough to write down what a failure was, so nothing is kept on disk.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_policy_is_judged_as_written(policy in policies::policy()) {
        let mut ledger = Ledger::default();
        let image = compiled(&policy, &mut ledger);
        agree(&policy, &image, &ledger)?;
    }

    #[test]
    fn what_is_unparsed_takes_the_strictest_mode(policy in policies::policy()) {
        let image = compiled(&policy, &mut Ledger::default());
        let strict = reference::strictest(&policy);
        for (cause, frame) in unparsed_frames() {
            let expected = match (policy.unparsed.get(&cause), strict) {
                (Some(UnparsedAction::Pass), _) => Verdict::Pass,
                (_, Mode::Enforce) => Verdict::Drop,
                (_, Mode::Audit) => Verdict::WouldDrop,
            };
            let ruling = judge(&&frame[..], &image).ruling;
            prop_assert_eq!((ruling.verdict, ruling.reason), (expected, Reason::Unparsed(cause)));
        }
    }
}

/// The shortest frame for each cause that does not depend on a service.
fn unparsed_frames() -> [(Cause, Vec<u8>); 4] {
    let v4 = || frame([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Transport::Tcp, 104);
    let with = |at: usize, byte| {
        let mut frame = v4();
        frame[at] = byte;
        frame
    };
    [
        (Cause::IpHeader, with(14, 0x44)),
        (Cause::Length, with(17, 255)),
        (Cause::Fragment, with(21, 1)),
        (Cause::Truncated, v4()[..20].to_vec()),
    ]
}

proptest! {
    #![proptest_config(config(100))]

    /// Counters only grow: whatever policy comes, a booking keeps its counter.
    #[test]
    fn counters_stay_over_recompiles(policies in prop::collection::vec(policies::policy(), 2..5)) {
        let mut ledger = Ledger::default();
        let mut known: Vec<(_, Booking)> = Vec::new();
        for policy in &policies {
            let image = compiled(policy, &mut ledger);
            agree(policy, &image, &ledger)?;
            for (counter, booking) in &known {
                prop_assert_eq!(ledger.booking(*counter), Some(booking.clone()));
            }
            known = ledger.counters().collect();
            let mut counters: Vec<_> = known.iter().map(|(counter, _)| *counter).collect();
            counters.sort_unstable();
            counters.dedup();
            prop_assert_eq!(counters.len(), known.len(), "two bookings share a counter");
        }
        let read_back = Ledger::from_records(ledger.records(0).map(|(_, record)| record)).unwrap();
        prop_assert!(read_back.counters().eq(ledger.counters()));
        let before = ledger.len();
        compiled(&policies[0], &mut ledger);
        prop_assert_eq!(ledger.len(), before, "a known policy books nothing new");
    }
}

fn name(text: &str) -> Option<Arc<str>> {
    Some(Arc::from(text))
}
