//! Policies swapped under a constant stream of frames: every frame meets one whole policy.

use std::{
    fmt::Write,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pacs_guard::{
    datapath::{Counters, Trial},
    image::Ledger,
};
use pacs_guard_common::{
    abi::CounterId,
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

/// A policy of some ten thousand prefixes; no tree of one looks like the other's.
fn policy(which: usize) -> String {
    let mut text = String::from(
        "version: 1\nname: swapped\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\n\
         segments:\n  common: { services: [dicom], sources: [192.0.2.0/28, 10.15.0.200, \
         \"2001:db8:ffff::/48\", \"2001:db8:77:1::5\"] }\n",
    );
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

/// A frame, what both policies rule, and how often it was sent.
struct Stream {
    frame: Vec<u8>,
    drops: bool,
    counter: CounterId,
    sent: u64,
}

#[test]
fn a_swap_under_load_misjudges_no_frame_and_loses_no_count() {
    let mut ledger = Ledger::default();
    let images = [0, 1].map(|which| image(&policy(which), &mut ledger, 1 + which as u64));
    let mut streams: Vec<Stream> = Vec::new();
    for source in ALLOWED.into_iter().chain(REFUSED) {
        for port in [104, 22] {
            let frame = frame(source, port);
            let [ruling, other] = [0, 1].map(|which: usize| judge(&&frame[..], &images[which]).ruling);
            assert_eq!(ruling, other, "{source} to {port}: the policies must judge the stream alike");
            assert_eq!(ruling.verdict == Verdict::Drop, port == 104 && REFUSED.contains(&source), "{source}");
            streams.push(Stream {
                frame,
                drops: ruling.verdict == Verdict::Drop,
                counter: ruling.counter,
                sent: 0,
            });
        }
    }
    let mut trial = Trial::new(&images[0], ledger.clone()).unwrap();
    let most = random::number(random::FRAMES);
    let (runner, mut swapper) = trial.split().unwrap();
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let mut wrong = 0_u64;
    let swaps = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !done.load(Ordering::Relaxed) {
                swapper.swap(&images[(swaps as usize + 1) % 2], ledger.clone()).unwrap();
                swaps += 1;
            }
            swaps
        });
        let mut sent = 0;
        while most.map_or(start.elapsed() < SHARE, |most| sent < most) && !swapping.is_finished() {
            for stream in &mut streams {
                // No panic in here: it would leave the other thread swapping for ever.
                wrong += u64::from(runner.drops(&stream.frame, 1).ok() != Some(stream.drops));
                stream.sent += 1;
                sent += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        swapping.join().unwrap()
    });
    let sent: u64 = streams.iter().map(|stream| stream.sent).sum();
    println!("{sent} verdicts over {swaps} swaps in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(wrong, 0, "wrong verdicts of {sent}, over {swaps} swaps");
    assert!(swaps > 20, "{swaps} swaps prove nothing");
    exact(&trial.counters().unwrap(), &streams, sent);
}

fn exact(counters: &Counters, streams: &[Stream], sent: u64) {
    for (id, booking, packets) in counters.entries() {
        let expected: u64 =
            streams.iter().filter(|stream| stream.counter == id).map(|stream| stream.sent).sum();
        assert_eq!(packets, expected, "{booking:?}");
    }
    assert_eq!(counters.total(), sent);
}
