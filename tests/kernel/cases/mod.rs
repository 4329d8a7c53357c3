//! The table: what a frame is, the frame, and what must happen to it.

mod ethernet;
mod ipv4;
mod ipv6;
mod other;
mod source;
mod truncated;
mod tunnel;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use pacs_guard::datapath::SHORTEST_FRAME;
use pacs_guard_common::{
    packet::Cause,
    verdict::{Reason, Verdict, judge},
};

use crate::{
    bench::{Bench, HERE4, HERE6, SITE, ip},
    frames::build::{IPV4, IPV6, SYN, TCP, V4, V6, ethernet, tcp},
};

/// What must happen to a frame.
type Expected = (Verdict, Reason);

const ALLOWED: Expected = (Verdict::Allow, Reason::Allowed);
const STRANGER: Expected = (Verdict::Drop, Reason::NotInSegment);
const NOT_GRANTED: Expected = (Verdict::Drop, Reason::ServiceNotAllowed);
const NOT_PROTECTED: Expected = (Verdict::Pass, Reason::NotProtected);
const NOT_IP: Expected = (Verdict::Pass, Reason::NotIp);
const NOT_TCP: Expected = (Verdict::Pass, Reason::NotTcp);
const LATER_FRAGMENT: Expected = (Verdict::Pass, Reason::FragmentWithoutPort);

const fn unparsed(cause: Cause) -> Expected {
    (Verdict::Drop, Reason::Unparsed(cause))
}

struct Row {
    name: String,
    policy: &'static str,
    frame: Vec<u8>,
    expected: Expected,
}

/// A row under the site's policy.
fn row(name: impl Into<String>, frame: Vec<u8>, expected: Expected) -> Row {
    Row { name: name.into(), policy: SITE, frame, expected }
}

impl Row {
    fn under(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }
}

/// Judges every row in user space and in the kernel, and tells all that fail.
fn check(rows: Vec<Row>) {
    let mut benches: BTreeMap<&str, Bench> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut names = std::collections::HashSet::new();
    for Row { name, policy, frame, expected } in &rows {
        assert!(names.insert(name), "two rows are named {name:?}");
        let bench = benches.entry(policy).or_insert_with(|| Bench::new(policy));
        let ruling = judge(&&frame[..], &bench.image).ruling;
        let found = (ruling.verdict, ruling.reason);
        if found != *expected {
            wrong.push(format!("{name}: user space says {found:?}, not {expected:?}: {frame:02x?}"));
        }
        // The kernel takes no shorter frame, from a wire either.
        if frame.len() < SHORTEST_FRAME {
            continue;
        }
        let answer = bench.trial.run(frame).unwrap().unwrap_or_else(|| panic!("{name}: counted nowhere"));
        let booking = bench.ledger.booking(answer.counter).unwrap();
        let found = (booking.verdict, booking.reason);
        if found != *expected
            || answer.counter != ruling.counter
            || answer.drops != (expected.0 == Verdict::Drop)
        {
            wrong.push(format!(
                "{name}: the kernel says {answer:?}, {found:?}, not {expected:?}: {frame:02x?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A SYN to the host from an address of either family.
fn syn(source: &str, port: u16) -> Vec<u8> {
    syn_to(source, here(source), port)
}

/// The guarded host's address of a source's family.
fn here(source: &str) -> &'static str {
    if ip(source).is_ipv4() { HERE4 } else { HERE6 }
}

fn syn_to(source: &str, to: &str, port: u16) -> Vec<u8> {
    let (ether_type, packet) = packet(ip(source), ip(to), TCP, &tcp(ip(source), ip(to), port, SYN));
    ethernet(&[], ether_type, &packet)
}

fn packet(source: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> (u16, Vec<u8>) {
    match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => (IPV4, V4::new(source, to, protocol).packet(payload)),
        (IpAddr::V6(source), IpAddr::V6(to)) => (IPV6, V6::new(source, to, protocol).packet(payload)),
        _ => panic!("{source} and {to} are of two families"),
    }
}

/// A frame from a source to the host with any protocol and payload.
fn carrying(source: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (ether_type, packet) = packet(ip(source), ip(here(source)), protocol, payload);
    ethernet(&[], ether_type, &packet)
}
