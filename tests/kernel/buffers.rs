//! Frames in several buffers: headers that lie behind the first one, or across two.

use pacs_guard::datapath::SHORTEST_FRAME;
use pacs_guard_common::verdict::{Judgement, Verdict, judge};

use crate::{
    bench::{Bench, HERE6, PEER6, SITE, STRANGER6, ip},
    frames::{
        build::{CTAG, Chain, DESTINATION, HOP_BY_HOP, IPV6, SYN, TCP, V6, ethernet, tcp},
        generate::Generator,
        random,
    },
    scale,
};

/// Frames through the split test run.
const FRAMES: usize = 3_000;

/// A jumbo frame whose TCP header lies behind so many units of eight bytes of extension headers.
fn jumbo(source: &str, port: u16, units: usize, tags: usize) -> Vec<u8> {
    let mut chain = Chain::new();
    let mut left = units;
    while left > 0 {
        let header = left.min(256);
        let kind = if left == units { HOP_BY_HOP } else { DESTINATION };
        chain = chain.options(kind, (header - 1) as u8);
        left -= header;
    }
    let mut segment = tcp(ip(source), ip(HERE6), port, SYN);
    segment.resize(9_000 - 40 - 8 * units, 0);
    let (next, bytes) = chain.before(TCP, &segment);
    let packet = V6::new(source.parse().unwrap(), HERE6.parse().unwrap(), next).packet(&bytes);
    ethernet(&vec![(CTAG, 5); tags], IPV6, &packet)
}

/// A test run puts 3,520 bytes in the first buffer on x86, and a page in each other.
#[test]
fn ports_behind_and_across_buffers() {
    let mut bench = Bench::new(SITE);
    // Every place around the end of the first and the second buffer, and some far from both.
    let places = [0, 1, 100, 300, 600, 900, 1_100].into_iter().chain(425..445).chain(935..955);
    let mut dropped = 0;
    for units in places {
        for tags in 0..=2 {
            for (source, port) in [(PEER6, 104), (STRANGER6, 104), (STRANGER6, 22)] {
                let frame = jumbo(source, port, units, tags);
                let Judgement { packet, ruling } = judge(&&frame[..], &bench.image);
                assert_eq!(packet.destination_port, port, "{units} units, {tags} tags");
                let answer = bench.trial.run(&frame).unwrap().unwrap();
                let refused = ruling.verdict == Verdict::Drop;
                assert_eq!(
                    (answer.drops, answer.counter),
                    (refused, ruling.counter),
                    "{source} to {port} behind {units} units and {tags} tags"
                );
                assert_eq!(refused, source == STRANGER6 && port == 104);
                dropped += u32::from(refused);
            }
        }
    }
    assert_eq!(bench.trial.counters().unwrap().packets(refusal(&bench)), u64::from(dropped));
}

/// The counter of a stranger who asks for DICOM.
fn refusal(bench: &Bench) -> pacs_guard_common::abi::CounterId {
    judge(&&jumbo(STRANGER6, 104, 0, 0)[..], &bench.image).ruling.counter
}

/// Needs Linux 6.18: the first buffer ends at every byte of the headers.
#[test]
fn the_first_buffer_may_end_anywhere() {
    let seed = random::seed();
    let mut bench = Bench::new(SITE);
    let frames: Vec<Vec<u8>> = Generator::new(seed, scale::pool()).take(FRAMES).collect();
    let mut runs = 0;
    for (number, frame) in frames.iter().enumerate() {
        let ruling = judge(&&frame[..], &bench.image).ruling;
        let before = bench.trial.counters().unwrap().packets(ruling.counter);
        let last = frame.len().min(120);
        let splits = (SHORTEST_FRAME..=last).step_by(1 + number % 5);
        let expected = splits.clone().count() as u64;
        for first_buffer in splits {
            let (runner, _) = bench.trial.split().unwrap();
            let drops = runner.drops_split(frame, first_buffer as u32).unwrap();
            let refused = ruling.verdict == Verdict::Drop;
            assert_eq!(drops, refused, "frame {number} split at {first_buffer}, {ruling:?}: {frame:02x?}");
        }
        let counted = bench.trial.counters().unwrap().packets(ruling.counter) - before;
        assert_eq!(counted, expected, "frame {number}, {ruling:?}: {frame:02x?}");
        runs += expected;
    }
    println!("{runs} splits of {FRAMES} frames");
}
