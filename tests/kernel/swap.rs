//! Policies swapped under a constant stream of frames: every frame meets one whole policy.

use std::{
    fmt::Write,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use pacs_guard::{
    datapath::{Counters, Runner, Trial},
    image::{Image, Ledger},
};
use pacs_guard_common::{
    abi::{CounterId, Ruling},
    verdict::{Verdict, judge},
};

use crate::{
    bench::{image, ip},
    frames::{
        build::{IPV4, IPV6, SYN, TCP, V4, V6, ethernet, tcp},
        random,
    },
};

/// How long the short form runs; the long one runs for as many frames as it is told.
const SHARE: Duration = Duration::from_secs(12);

/// Sources that both policies allow, and sources that neither does; one of each lies amid their ranges.
const ALLOWED: [&str; 4] = ["192.0.2.1", "10.15.0.200", "2001:db8:ffff::1", "2001:db8:77:1::5"];
const REFUSED: [&str; 4] = ["203.0.113.9", "10.200.0.1", "2001:db9::9", "2001:db8:77:2::5"];

/// Policies that take turns: one more than slots, so that none comes back to the slot that it was in.
const TURNS: usize = 4;

/// A policy of some ten thousand prefixes; no tree of one looks like the next one's. Each grants DICOM to one
/// source that none of the others grants it to.
fn policy(turn: usize) -> String {
    let which = turn % 2;
    let mut text = String::from(
        "version: 1\nname: swapped\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\n\
         segments:\n  common: { services: [dicom], sources: [192.0.2.0/28, 10.15.0.200, \
         \"2001:db8:ffff::/48\", \"2001:db8:77:1::5\"] }\n",
    );
    writeln!(text, "  turn-{turn}: {{ services: [dicom], sources: [198.51.100.{turn}] }}").unwrap();
    let prefixes = 5_000 + 1_000 * which;
    for segment in 0..20 {
        write!(text, "  segment-{which}-{segment}:\n    services: [dicom]\n    sources:\n").unwrap();
        for number in (segment..prefixes).step_by(20) {
            let (high, low) = (number / 256, number % 256);
            writeln!(text, "      - 10.{high}.{low}.{}/25", 128 * which).unwrap();
            writeln!(text, "      - \"2001:db8:{number:x}:{which}::/64\"").unwrap();
        }
    }
    text
}

fn frame(source: &str, port: u16) -> Vec<u8> {
    match ip(source) {
        std::net::IpAddr::V4(source) => {
            let to = [10, 20, 0, 1].into();
            let segment = tcp(source.into(), std::net::IpAddr::V4(to), port, SYN);
            ethernet(&[], IPV4, &V4::new(source, to, TCP).packet(&segment))
        }
        std::net::IpAddr::V6(source) => {
            let to = "2001:db8:20::1".parse().unwrap();
            let segment = tcp(source.into(), std::net::IpAddr::V6(to), port, SYN);
            ethernet(&[], IPV6, &V6::new(source, to, TCP).packet(&segment))
        }
    }
}

/// A frame, what it is booked on where it passes and where it is dropped, and how often each came.
struct Stream {
    frame: Vec<u8>,
    booked: [CounterId; 2],
    came: [u64; 2],
}

impl Stream {
    fn new(frame: Vec<u8>, booked: [CounterId; 2]) -> Self {
        Self { frame, booked, came: [0; 2] }
    }

    /// Runs the frame once; whether it is dropped, and `None` where it can't be run.
    fn run(&mut self, runner: Runner<'_>) -> Option<bool> {
        let drops = runner.drops(&self.frame, 1).ok()?;
        self.came[usize::from(drops)] += 1;
        Some(drops)
    }
}

/// Frames that all policies judge alike, with whether they are dropped.
fn steady(images: &[Image]) -> Vec<(Stream, bool)> {
    let sources = ALLOWED.into_iter().chain(REFUSED).flat_map(|source| [(source, 104), (source, 22)]);
    sources
        .map(|(source, port)| {
            let frame = frame(source, port);
            let rulings: Vec<Ruling> = images.iter().map(|image| judge(&&frame[..], image).ruling).collect();
            assert!(rulings.iter().all(|ruling| *ruling == rulings[0]), "{source} to {port}: {rulings:?}");
            let drops = rulings[0].verdict == Verdict::Drop;
            assert_eq!(drops, port == 104 && REFUSED.contains(&source), "{source} to {port}");
            (Stream::new(frame, [rulings[0].counter; 2]), drops)
        })
        .collect()
}

/// The frame that only one policy lets pass.
fn turn(images: &[Image], turn: usize) -> Stream {
    let frame = frame(&format!("198.51.100.{turn}"), 104);
    let [own, next] = [turn, turn + 1].map(|which| judge(&&frame[..], &images[which % TURNS]).ruling);
    assert_eq!((own.verdict, next.verdict), (Verdict::Allow, Verdict::Drop));
    Stream::new(frame, [own.counter, next.counter])
}

#[test]
fn a_swap_under_load_misjudges_no_frame_and_loses_no_count() {
    let mut ledger = Ledger::default();
    let images: Vec<Image> =
        (0..TURNS).map(|turn| image(&policy(turn), &mut ledger, 1 + turn as u64)).collect();
    let mut steady = steady(&images);
    let mut turns: Vec<Stream> = (0..TURNS).map(|number| turn(&images, number)).collect();
    let mut trial = Trial::new(&images[0], ledger.clone()).unwrap();
    let most = random::number(random::FRAMES);
    let (runner, mut swapper) = trial.split().unwrap();
    let done = AtomicBool::new(false);
    // How many swaps have begun, and how many are over: what is in force lies between.
    let (begun, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let (mut sent, mut mixed, mut stale) = (0, 0_u64, 0_u64);
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for swap in (1..).take_while(|_| !done.load(Ordering::SeqCst)) {
                begun.store(swap, Ordering::SeqCst);
                swapper.swap(&images[swap % TURNS], ledger.clone(), None).unwrap();
                over.store(swap, Ordering::SeqCst);
            }
        });
        // No panic in this loop: it would leave the other thread swapping for ever.
        while most.map_or(start.elapsed() < SHARE, |most| sent < most) && !swapping.is_finished() {
            for (number, (stream, drops)) in steady.iter_mut().enumerate() {
                mixed += u64::from(stream.run(runner) != Some(*drops));
                let turn = number % TURNS;
                let first = over.load(Ordering::SeqCst);
                let drops = turns[turn].run(runner);
                let mut in_force = first..=begun.load(Ordering::SeqCst);
                let of_turn = |swap| swap % TURNS == turn;
                let wrong = match drops {
                    Some(true) => in_force.all(of_turn),
                    Some(false) => !in_force.any(of_turn),
                    None => true,
                };
                stale += u64::from(wrong);
                sent += 2;
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let swaps = over.into_inner();
    println!("{sent} verdicts over {swaps} swaps in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(mixed, 0, "of {sent} verdicts over {swaps} swaps, so many are no policy's");
    assert_eq!(stale, 0, "of {sent} verdicts over {swaps} swaps, so many are of a policy not in force");
    assert!(swaps > 20, "{swaps} swaps prove nothing");
    let streams: Vec<Stream> = steady.into_iter().map(|(stream, _)| stream).chain(turns).collect();
    exact(&trial.counters().unwrap(), &streams, sent);
}

fn exact(counters: &Counters, streams: &[Stream], sent: u64) {
    for (id, booking, packets) in counters.entries() {
        let outcomes = streams.iter().flat_map(|stream| stream.booked.into_iter().zip(stream.came));
        let expected: u64 = outcomes.filter(|(counter, _)| *counter == id).map(|(_, came)| came).sum();
        assert_eq!(packets, expected, "{booking:?}");
    }
    assert_eq!(counters.total(), sent);
}
