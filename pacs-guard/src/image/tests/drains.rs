//! Changes of policy with and without a drain, judged as a naive reading judges them, packet by packet.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use pacs_guard_common::{
    abi::CounterId,
    verdict::{Judgement, Reason, Verdict, judge},
};
use proptest::prelude::*;

use super::{PORTS, compiled_for, config, edges, frame, name, now, policies, reference};
use crate::{
    boot_time::BootTime,
    clock::Clock,
    image::{Booking, Circumstances, Leaving, Ledger, carry, leaving},
    policy::model::{Policy, Transport},
};

/// A policy that comes into force, and when: so many seconds after the one before it, and with so long a drain.
#[derive(Clone, Debug)]
struct Change {
    policy: Policy,
    after: i64,
    drain: Option<u64>,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Where a destination counts, a drain leaves out what lies in one policy's addresses only.
    let policy = policies::policy().prop_map(|mut policy| {
        policy.services.iter_mut().for_each(|service| service.addresses.clear());
        policy
    });
    let drain = prop::option::weighted(0.7, prop::sample::select(vec![3, 8, 15, 100]));
    let change = (policy, prop::sample::select(vec![1_i64, 4, 9, 12]), drain);
    let change = change.prop_map(|(policy, after, drain)| Change { policy, after, drain });
    prop::collection::vec(change, 2..5)
}

fn at(seconds: i64) -> Clock {
    let wall = now().wall + SignedDuration::from_secs(seconds);
    Clock { wall, boot: now().boot_time(wall) }
}

/// The drain of one source and port, as a list of changes makes it: until when, and of which segment.
#[derive(Clone, Debug, Default)]
struct Naive(Option<(Timestamp, Booking)>);

impl Naive {
    fn change(&mut self, old: &Policy, new: &Policy, ask: (IpAddr, u16), when: Clock, drain: Option<u64>) {
        let judge = |policy: &Policy, at| reference::judge(policy, (ask.0, ask.0), Transport::Tcp, ask.1, at);
        let before = judge(old, when.wall);
        if judge(new, when.wall).verdict != Verdict::Drop {
            self.0 = None;
            return;
        }
        self.0 = self.0.take().filter(|(end, _)| *end > when.wall);
        if let Some(seconds) = drain.filter(|_| before.verdict != Verdict::Drop) {
            let end = when.wall + SignedDuration::from_secs(seconds as i64);
            let later = super::times().into_iter().filter(|time| *time > when.wall);
            let refused = later.filter(|time| judge(old, *time).verdict == Verdict::Drop).min();
            let end = refused.map_or(end, |refused| refused.min(end));
            if self.0.as_ref().is_none_or(|(known, _)| *known <= end) {
                self.0 = Some((end, before));
            }
        }
    }

    fn judge(&self, policy: &Policy, ask: (IpAddr, u16), at: Timestamp, goes_on: bool) -> Booking {
        let ruled = reference::judge(policy, (ask.0, ask.0), Transport::Tcp, ask.1, at);
        match &self.0 {
            Some((end, before)) if goes_on && at < *end && ruled.verdict == Verdict::Drop => Booking {
                segment: before.segment.clone(),
                service: ruled.service,
                reason: Reason::Draining,
                verdict: Verdict::Allow,
            },
            _ => ruled,
        }
    }
}

/// A packet of TCP with these flags.
fn packet(source: IpAddr, port: u16, flags: u8) -> Vec<u8> {
    let mut frame = frame(source, source, Transport::Tcp, port);
    let tcp = if source.is_ipv4() { 34 } else { 54 };
    frame[tcp + 13] = flags;
    frame
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn a_drain_is_judged_as_a_naive_reading_judges_it(changes in changes()) {
        let mut ledger = Ledger::default();
        let mut drain: Vec<Leaving> = Vec::new();
        let (mut seconds, mut turn) = (0, 0_usize);
        let asks: Vec<(IpAddr, u16)> = changes
            .iter()
            .flat_map(|change| edges(&change.policy))
            .flat_map(|source| PORTS.map(|port| (source, port)))
            .collect();
        let mut naive = vec![Naive::default(); asks.len()];
        for pair in changes.windows(2) {
            let [old, new] = pair else { unreachable!() };
            seconds += new.after;
            let when = at(seconds);
            drain = carry(drain, &new.policy, when);
            if let Some(time) = new.drain {
                let end = when.boot.after(std::time::Duration::from_secs(time));
                drain.extend(leaving(&old.policy, &new.policy, when, end));
            }
            let circumstances = Circumstances { clock: when, drain: &drain, bypass: false };
            let image = compiled_for(&new.policy, &circumstances, &mut ledger);
            for (ask, naive) in asks.iter().zip(&mut naive) {
                naive.change(&old.policy, &new.policy, *ask, when, new.drain);
                let edges = naive.0.iter().map(|(end, _)| *end).chain(super::times());
                let edges = edges.filter(|edge| *edge > when.wall).collect::<Vec<_>>();
                let around = |edge: Timestamp| [edge - SignedDuration::from_nanos(1), edge];
                let times: Vec<Timestamp> = edges.into_iter().flat_map(around).chain([when.wall]).collect();
                // Two of them for each source and port: all come up as one.
                turn += 1;
                for time in [times[turn % times.len()], times[turn / 2 % times.len()]] {
                    for (flags, goes_on) in [(SYN, false), (ACK, true), (SYN | ACK, true)] {
                        let view = image.at(when.boot_time(time));
                        let Judgement { ruling, .. } = judge(&&packet(ask.0, ask.1, flags)[..], &view);
                        let found = ledger.booking(ruling.counter).unwrap();
                        prop_assert_eq!((found.verdict, found.reason), (ruling.verdict, ruling.reason));
                        let expected = naive.judge(&new.policy, *ask, time, goes_on);
                        prop_assert_eq!(found, expected, "{:?} flags {:#x} at {}, change at {}", ask, flags, time, when.wall);
                    }
                }
            }
        }
    }
}

/// A bypass finds a counter for every packet, even where none is left.
#[test]
fn a_bypass_needs_no_counter() {
    let text = "version: 1\nname: p\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] }, web: { ports: [8042] } }\n\
                segments: { ct: { sources: [10.0.0.0/8], services: [dicom] }, pc: { sources: [11.0.0.0/8], services: [web] } }\n";
    let policy = crate::policy::parse("p.yaml".as_ref(), text).unwrap().policy;
    let mut ledger = Ledger::default();
    let plain = Circumstances { clock: now(), drain: &[], bypass: false };
    compiled_for(&policy, &plain, &mut ledger);
    for number in 0.. {
        let other = Booking {
            segment: name(&number.to_string()),
            service: name("other"),
            reason: Reason::Allowed,
            verdict: Verdict::Allow,
        };
        if ledger.book(other).is_err() {
            break;
        }
    }
    compiled_for(&policy, &plain, &mut ledger);
    let bypass = Circumstances { bypass: true, ..plain };
    let image = compiled_for(&policy.in_audit_mode(), &bypass, &mut ledger);
    let found = |source: &str| {
        let ruling = judge(&&packet(source.parse().unwrap(), 104, SYN)[..], &image.at(now().boot)).ruling;
        let booking = ledger.booking(ruling.counter).unwrap();
        assert_eq!((booking.verdict, booking.reason), (ruling.verdict, ruling.reason));
        (ruling.verdict, ruling.counter)
    };
    assert_eq!(found("10.0.0.1").0, Verdict::Allow);
    assert_eq!(found("11.0.0.1"), (Verdict::WouldDrop, CounterId::BYPASSED_MEMBERS));
    assert_eq!(found("192.0.2.1"), (Verdict::WouldDrop, CounterId::BYPASSED_STRANGERS));
}

/// A time before the machine was started counts as passed, and never as "never".
#[test]
fn an_end_before_boot_has_passed() {
    let early = Clock { boot: BootTime::from_nanoseconds(5).unwrap(), ..now() };
    assert_eq!(early.boot_time(super::times()[0]).nanoseconds(), 1);
}

/// A column has a bit in the header by its number modulo 64, so that what is narrowed and what is not share some.
#[test]
fn columns_that_share_a_bit_are_narrowed_each_for_itself() {
    const SERVICES: u16 = 63;
    let head = "version: 1\nname: p\ninterfaces: [eth0]\nmode: enforce\nservices:\n";
    let narrowed = |number: u16| number.is_multiple_of(2);
    let mut text = head.to_owned();
    for number in 0..SERVICES {
        let addresses = if narrowed(number) { ", addresses: [192.0.2.0/24, \"2001:db8::/32\"]" } else { "" };
        text += &format!("  s{number}: {{ ports: [{}, {}]{addresses} }}\n", 1000 + number, 2000 + number);
    }
    let services: Vec<String> = (0..SERVICES).map(|number| format!("s{number}")).collect();
    text +=
        &format!("segments: {{ ct: {{ sources: [198.18.0.0/24], services: [{}] }} }}\n", services.join(", "));
    let old = format!(
        "{head}  all: {{ ports: [1000-1062] }}\n  other: {{ ports: [2000-2062] }}\n\
         segments: {{ ct: {{ sources: [10.0.0.0/8, \"2001:db9::/32\"], services: [all] }}, pc: {{ sources: [198.18.0.0/24], services: [other] }} }}\n"
    );
    let parse = |text: &str| crate::policy::parse("p.yaml".as_ref(), text).unwrap().policy;
    let (old, new) = (parse(&old), parse(&text));
    let drain = leaving(&old, &new, now(), now().boot.after(std::time::Duration::from_secs(60)));
    assert!(crate::image::columns::Columns::new(&new, &drain).unwrap().list.len() > 64);
    let circumstances = Circumstances { clock: now(), drain: &drain, bypass: false };
    let image = compiled_for(&new, &circumstances, &mut Ledger::default());
    for number in 0..SERVICES {
        for (source, towards) in [
            ("10.0.0.1", [("192.0.2.1", true), ("203.0.113.1", false)]),
            ("2001:db9::1", [("2001:db8::1", true), ("2001:dba::1", false)]),
        ] {
            for ((to, within), port) in
                towards.into_iter().flat_map(|to| [1000 + number, 2000 + number].map(|port| (to, port)))
            {
                let frame = frame(source.parse().unwrap(), to.parse().unwrap(), Transport::Tcp, port);
                let mut goes_on = frame.clone();
                goes_on[if source.contains(':') { 54 } else { 34 } + 13] = ACK;
                let reason = |frame: &[u8]| judge(&frame, &image.at(now().boot)).ruling.reason;
                let expected = match (!narrowed(number) || within, port < 2000) {
                    (false, _) => [Reason::NotProtected; 2],
                    (true, true) => [Reason::NotInSegment, Reason::Draining],
                    (true, false) => [Reason::NotInSegment; 2],
                };
                assert_eq!([reason(&frame), reason(&goes_on)], expected, "{source} to {to} port {port}");
            }
        }
    }
}
