//! Rulings that end by themselves: the kernel and user space agree before, between and after their ends.

use std::{net::IpAddr, path::Path, time::Duration};

use pacs_guard::{
    boot_time::BootTime,
    clock::Clock,
    datapath::Trial,
    image::{Card, Circumstances, Image, Ledger, compile_for, leaving},
    policy::{self, model::Policy},
};
use pacs_guard_common::verdict::{Reason, Verdict, judge};

use crate::{
    bench::{HERE4, HERE6, PEER4, PEER6, STRANGER4, STRANGER6, ip},
    frames::build::{IPV4, IPV6, MORE_FRAGMENTS, TCP, UDP, V4, V6, ethernet, tcp, udp},
};

/// Two segments over the peer: the narrow one ends first, the wide one later, and neither is for good.
const ENDING: &str = r#"
version: 1
name: ending
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104] }
  logs: { ports: [514], transport: udp }
segments:
  narrow: { sources: [10.20.0.7/32, "2001:db8:20::7"], services: [dicom, logs], until: 2100-01-01T00:00:00Z }
  wide: { sources: [10.20.0.0/24, "2001:db8:20::/64"], services: [dicom], until: 2100-01-02T00:00:00Z }
"#;

/// The same for good, and the same without the peer.
const OLD: &str = r#"
version: 1
name: old
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104] }
  logs: { ports: [514], transport: udp }
segments:
  modalities: { sources: [10.20.0.0/24, "2001:db8:20::/64"], services: [dicom, logs] }
"#;
const NEW: &str = r#"
version: 1
name: new
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 8042] }
  logs: { ports: [514], transport: udp }
segments:
  other: { sources: [192.0.2.0/24], services: [dicom, logs] }
"#;

/// Further away than any test takes.
const FAR: Duration = Duration::from_secs(3600);

fn parsed(text: &str) -> (Policy, Card) {
    let checked = policy::parse(Path::new("policy.yaml"), text).unwrap_or_else(|why| panic!("{why}"));
    let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
    (checked.policy, card)
}

/// The first nanosecond since boot, told as a time of the wall clock so that the policy's ends come when they should.
fn boot_at(wall: &str, comes: BootTime) -> Clock {
    let boot = BootTime::from_nanoseconds(1).unwrap();
    let wall: jiff::Timestamp = wall.parse().unwrap();
    Clock { wall: wall - Duration::from_nanos(comes.nanoseconds() - 1), boot }
}

struct Timed {
    image: Image,
    ledger: Ledger,
    trial: Trial,
}

impl Timed {
    fn new(text: &str, clock: Clock, old: Option<(&str, BootTime)>) -> Self {
        let (policy, card) = parsed(text);
        let drain = old.map_or_else(Vec::new, |(old, end)| leaving(&parsed(old).0, &policy, clock, end));
        let mut ledger = Ledger::default();
        let circumstances = Circumstances { clock, drain: &drain, bypass: false };
        let image = compile_for(&policy, &circumstances, &mut ledger, 1, &card).unwrap();
        let trial = Trial::new(&image, ledger.clone()).unwrap_or_else(|why| panic!("{why}"));
        Self { image, ledger, trial }
    }

    /// What the kernel does with a frame, and user space too.
    fn judge(&mut self, frame: &[u8]) -> (Verdict, Reason, Option<String>) {
        let ruling = judge(&frame, &self.image).ruling;
        let answer = self.trial.run(frame).unwrap().expect("counted nowhere");
        assert_eq!(answer.counter, ruling.counter, "{ruling:?}: {frame:02x?}");
        assert_eq!(answer.drops, ruling.verdict == Verdict::Drop, "{frame:02x?}");
        let booking = self.ledger.booking(answer.counter).unwrap();
        assert_eq!((booking.verdict, booking.reason), (ruling.verdict, ruling.reason));
        (booking.verdict, booking.reason, booking.segment.map(|name| name.to_string()))
    }
}

fn carrying(source: &str, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    match ip(source) {
        IpAddr::V4(source) => {
            let header = V4 { fragment, ..V4::new(source, HERE4.parse().unwrap(), protocol) };
            ethernet(&[], IPV4, &header.packet(payload))
        }
        IpAddr::V6(source) => {
            ethernet(&[], IPV6, &V6::new(source, HERE6.parse().unwrap(), protocol).packet(payload))
        }
    }
}

fn segment(source: &str, port: u16, flags: u8) -> Vec<u8> {
    let here = ip(if ip(source).is_ipv4() { HERE4 } else { HERE6 });
    carrying(source, TCP, 0, &tcp(ip(source), here, port, flags.into()))
}

fn datagram(source: &str, port: u16) -> Vec<u8> {
    let here = ip(if ip(source).is_ipv4() { HERE4 } else { HERE6 });
    carrying(source, UDP, 0, &udp(ip(source), here, port, b"datagram"))
}

const REFUSED: (Verdict, Reason, Option<&str>) = (Verdict::Drop, Reason::NotInSegment, None);

#[track_caller]
fn assert_judged(
    found: (Verdict, Reason, Option<String>),
    expected: (Verdict, Reason, Option<&str>),
    what: &str,
) {
    assert_eq!((found.0, found.1, found.2.as_deref()), expected, "{what}");
}

#[test]
fn each_segment_ends_in_the_kernel_when_its_time_comes() {
    let together = ENDING.replace("2100-01-02", "2100-01-01");
    let (to_come, over) = (BootTime::now().after(FAR), BootTime::now().before(Duration::from_secs(1)));
    let allowed = |name| (Verdict::Allow, Reason::Allowed, Some(name));
    let in_wide = (Verdict::Drop, Reason::ServiceNotAllowed, Some("wide"));
    // When the first end comes, and what the peer gets over TCP and UDP now.
    let rows = [
        ("before both", ENDING, to_come, allowed("narrow"), allowed("narrow")),
        ("between", ENDING, over, allowed("wide"), in_wide),
        ("after both", &together, over, REFUSED, REFUSED),
    ];
    for (what, text, first, tcp, udp) in rows {
        let mut timed = Timed::new(text, boot_at("2100-01-01T00:00:00Z", first), None);
        for peer in [PEER4, PEER6] {
            for flags in 0..=u8::MAX {
                assert_judged(timed.judge(&segment(peer, 104, flags)), tcp, &format!("{what}, {flags:#04x}"));
            }
            assert_judged(timed.judge(&datagram(peer, 514)), udp, what);
        }
        assert_judged(timed.judge(&segment(STRANGER4, 104, 2)), REFUSED, what);
    }
}

#[test]
fn only_connections_that_are_there_drain() {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    for drains in [true, false] {
        let clock = boot_at("2026-01-01T00:00:00Z", BootTime::now());
        let end =
            if drains { BootTime::now().after(FAR) } else { BootTime::now().before(Duration::from_secs(1)) };
        let mut timed = Timed::new(NEW, clock, Some((OLD, end)));
        let draining = |segment| if drains { (Verdict::Allow, Reason::Draining, segment) } else { REFUSED };
        for flags in 0..=u8::MAX {
            let opens = flags & (SYN | ACK) == SYN;
            let name = format!("flags {flags:#04x}");
            for peer in [PEER4, PEER6] {
                let expected = if opens { REFUSED } else { draining(Some("modalities")) };
                assert_judged(timed.judge(&segment(peer, 104, flags)), expected, &name);
            }
            for stranger in [STRANGER4, STRANGER6] {
                assert_judged(timed.judge(&segment(stranger, 104, flags)), REFUSED, &name);
                // Nothing protected that port before.
                let expected = if opens { REFUSED } else { draining(None) };
                assert_judged(timed.judge(&segment(stranger, 8042, flags)), expected, &name);
            }
        }
        assert_judged(timed.judge(&datagram(PEER4, 514)), REFUSED, "UDP knows no connections");
        let whole = tcp(ip(PEER4), ip(HERE4), 104, ACK.into());
        for length in 4..20 {
            let expected = if length < 14 { REFUSED } else { draining(Some("modalities")) };
            for fragment in [0, MORE_FRAGMENTS] {
                let mut frame = carrying(PEER4, TCP, fragment, &whole[..length]);
                let name = format!("{length} bytes of TCP, fragment {fragment:#06x}");
                assert_judged(timed.judge(&frame), expected, &name);
                // What lies behind the packet's end holds no flags, whatever it looks like.
                frame.extend([ACK; 40]);
                assert_judged(timed.judge(&frame), expected, &format!("{name}, padded"));
            }
        }
    }
}

/// Asks for one verdict after another until the peer's time is over; how many came before that.
fn verdicts_until(end: BootTime) -> u32 {
    let text = ENDING.replace("2100-01-02", "2100-01-01");
    let mut timed = Timed::new(&text, boot_at("2100-01-01T00:00:00Z", end), None);
    let frame = segment(PEER4, 104, 0x10);
    let (mut early, mut late) = (0, 0);
    while late < 1000 {
        let before = BootTime::now();
        let drops = timed.trial.drops(&frame, 1).unwrap();
        let after = BootTime::now();
        if after < end {
            assert!(!drops, "it ended {} ns too early", end.nanoseconds() - after.nanoseconds());
            early += 1;
        } else if before >= end {
            assert!(drops, "it goes on {} ns too long", before.nanoseconds() - end.nanoseconds());
            late += 1;
        }
    }
    early
}

/// The clock that ends it is the kernel's own: no verdict comes too early or too late.
#[test]
fn the_kernel_ends_it_to_the_moment() {
    // A busy machine may take seconds to load the program.
    let mut spans = [1500, 6000, 24_000].map(Duration::from_millis).into_iter();
    let seen = spans.any(|span| verdicts_until(BootTime::now().after(span)) > 10);
    assert!(seen, "each end was over before the test began");
}
