//! The oracle: what the guard refuses, Linux would have delivered; what it passes, Linux answers as before.
//!
//! Linux itself says which frames reach a port. The same frames go over a veth pair to a host without a guard and
//! to one with it, and what the two answer is compared. Needs root. `PACS_GUARD_SEED` replays a run, and
//! `PACS_GUARD_TEST_FRAMES` sets its length.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod dice;
mod frames;
mod headers;
#[path = "../lab/mod.rs"]
mod lab;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Instant, SystemTime};

use bench::{Answer, Bench, Kind, Setup};
use frames::{Case, PROTECTED_TCP, PROTECTED_UDP, case, read_source};
use pacs_guard::image::{Card, Image, Ledger, compile};
use pacs_guard::policy;
use pacs_guard_common::{
    packet::Cause,
    verdict::{Reason, Verdict, judge},
};

/// Frames by default, so that CI spends about a minute here.
const FRAMES: usize = 300_000;

/// What must have reached a protected port where nobody guards it, else the guard was tried with nothing.
const ATTACKS: [&str; 9] = [
    "plain",
    "options",
    "priority-tag",
    "fragments",
    "two-beginnings",
    "extension-headers",
    "atomic",
    "broadcast",
    "mutated",
];

/// The causes that may cost a packet which Linux would have delivered.
const EXCUSES: [Cause; 4] = [Cause::VlanDepth, Cause::Fragment, Cause::ExtensionHeaders, Cause::SourceRoute];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn no_frame_gets_past_the_guard_and_none_is_lost() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("PACS_GUARD_SEED").unwrap_or(now.as_nanos() as u64);
    let frames = number("PACS_GUARD_TEST_FRAMES").map_or(FRAMES, |frames| frames as usize);
    println!("PACS_GUARD_SEED={seed} PACS_GUARD_TEST_FRAMES={frames}");
    for source_routes in [false, true] {
        compare(seed ^ u64::from(source_routes), frames / 2, source_routes);
    }
}

/// What a host answered.
struct Heard {
    cases: u32,
    answers: HashSet<Answer>,
    /// Packets per reason, as the daemon counts them.
    counters: BTreeMap<String, u64>,
}

fn run(seed: u64, frames: usize, setup: Setup) -> Heard {
    let start = Instant::now();
    let mut bench = Bench::new(setup).unwrap();
    let (mut cases, mut sent) = (0, 0);
    while sent < frames {
        let case = case(seed, cases);
        bench.send(&case.frames).unwrap();
        sent += case.frames.len();
        cases += 1;
    }
    bench.finish().unwrap();
    let answers = std::mem::take(&mut bench.answers);
    println!("{setup:?}: {sent} frames, {} answers, {:.1} s", answers.len(), start.elapsed().as_secs_f64());
    let mut counters = BTreeMap::new();
    if let Some(daemon) = &bench.daemon {
        let done = daemon.ask(&["counters", "--all", "--json"]).unwrap();
        assert!(done.success(), "{}", done.text());
        let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        for row in report["counters"].as_array().unwrap() {
            *counters.entry(row["reason"].as_str().unwrap().to_owned()).or_default() +=
                row["packets"].as_u64().unwrap();
        }
    }
    Heard { cases, answers, counters }
}

fn compare(seed: u64, frames: usize, source_routes: bool) {
    // A thread for each, since it stays in the namespace that it went into.
    let on_a_thread = |guarded| {
        let setup = Setup { guarded, source_routes };
        std::thread::spawn(move || run(seed, frames, setup)).join().unwrap()
    };
    let (bare, guarded) = (on_a_thread(false), on_a_thread(true));
    let guard = Guard::new();
    let tell = |answer: &Answer| {
        let case = asked(seed, answer);
        let frames: Vec<_> = case.frames.iter().map(|frame| guard.reason(frame).name()).collect();
        format!("case {} {:?}: {answer:?}; judged {frames:?}", case.number, case.traits)
    };

    // No frame from outside the allowlist brings a protected port to answer.
    let got_past: Vec<_> = guarded.answers.iter().filter(|answer| forbidden(answer)).map(tell).collect();
    let reached = by_trait(seed, bare.answers.iter().filter(|answer| forbidden(answer)));
    println!("reached a protected port without the guard: {reached:?}");
    assert!(
        got_past.is_empty(),
        "{} got past, such as {:#?}",
        got_past.len(),
        &got_past[..got_past.len().min(9)]
    );

    // Nothing else is lost, but by the rules for what Linux would read and the guard won't. The other causes are of
    // frames that Linux drops itself.
    let excuse = |reason: &Reason| match reason {
        Reason::Unparsed(cause) => EXCUSES.contains(cause),
        _ => false,
    };
    let mut excused = BTreeMap::<_, u32>::new();
    let mut lost = Vec::new();
    for answer in bare.answers.difference(&guarded.answers).filter(|answer| !forbidden(answer)) {
        let case = asked(seed, answer);
        match case.frames.iter().map(|frame| guard.reason(frame)).find(excuse) {
            Some(reason) => *excused.entry(reason.name()).or_default() += 1,
            None => lost.push(tell(answer)),
        }
    }
    println!("lost by a rule of `unparsed`: {excused:?}");
    assert!(lost.is_empty(), "{} lost, such as {:#?}", lost.len(), &lost[..lost.len().min(9)]);

    // And nothing is won, except where the guard took a fragment out of the way of another.
    let won = guarded.answers.difference(&bare.answers);
    let won: Vec<_> = won
        .filter(|answer| {
            let case = asked(seed, answer);
            !case.frames.iter().any(|frame| guard.drops(frame))
        })
        .map(tell)
        .collect();
    assert!(won.is_empty(), "answered only with the guard: {won:#?}");

    // The daemon's books agree with the frames, to the packet.
    let mut expected = BTreeMap::<String, u64>::new();
    for number in 0..guarded.cases {
        for frame in case(seed, number).frames {
            *expected.entry(guard.reason(&frame).name().to_owned()).or_default() += 1;
        }
    }
    println!("judged: {expected:?}");
    for (reason, packets) in &expected {
        // Beacons and the host's own chatter come under these.
        if !["not-ip", "not-tcp", "not-protected"].contains(&reason.as_str()) {
            assert_eq!(guarded.counters.get(reason), Some(packets), "{reason}");
        }
    }

    let mut needed = ATTACKS.to_vec();
    needed.extend(source_routes.then_some("source-route"));
    for attack in needed {
        assert!(reached.contains_key(attack), "no {attack} packet reached a port: the test tries too little");
    }
}

/// The case that was answered.
fn asked(seed: u64, answer: &Answer) -> Case {
    case(seed, read_source(answer.peer).0)
}

/// Whether a refused source had an answer from a protected port.
fn forbidden(answer: &Answer) -> bool {
    let protected = [PROTECTED_TCP, PROTECTED_UDP].contains(&answer.port);
    let (_, refused) = read_source(answer.peer);
    refused && protected
}

fn by_trait<'a>(seed: u64, answers: impl Iterator<Item = &'a Answer>) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        let Case { traits, .. } = asked(seed, answer);
        let kind = match answer.kind {
            Kind::SynAck => "(SYN-ACK)",
            Kind::Reset => "(RST)",
            Kind::Datagram => "(datagram)",
        };
        let traits = if traits.is_empty() { vec!["plain"] } else { traits };
        for name in traits.into_iter().chain([kind]) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

/// The policy as user space judges by it.
struct Guard(Image);

impl Guard {
    fn new() -> Self {
        let checked = policy::parse(Path::new("policy.yaml"), include_str!("policy.yaml")).unwrap();
        let card = Card::new(&checked, jiff::Timestamp::now(), None);
        Self(compile(&checked.policy, &mut Ledger::default(), 1, &card).unwrap())
    }

    fn reason(&self, frame: &[u8]) -> Reason {
        judge(&frame, &self.0).ruling.reason
    }

    fn drops(&self, frame: &[u8]) -> bool {
        judge(&frame, &self.0).ruling.verdict == Verdict::Drop
    }
}
