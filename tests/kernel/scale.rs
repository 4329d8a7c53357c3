//! Random frames by the million: the kernel and user space must agree on each, and on every counter.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use pacs_guard_common::{abi::CounterId, verdict::Verdict};

use crate::{
    bench::{Bench, HERE4, HERE6, PEER4, PEER6, SITE, STRANGER4, STRANGER6},
    frames::{
        generate::{Generator, Pool},
        random,
    },
};

/// Frames between two readings of the counters.
const BATCH: usize = 2_000;
/// How long the short form runs; the long one runs for as many frames as it is told.
const SHARE: Duration = Duration::from_secs(15);

/// Hosts on both sides of every edge of the site's policy.
pub(crate) fn pool() -> Pool {
    let v4 = [PEER4, STRANGER4, HERE4, "10.20.0.66", "10.20.1.0", "10.30.0.7", "10.30.0.8", "127.0.0.1"];
    let v6 = [PEER6, STRANGER6, HERE6, "2001:db8:20::66", "2001:db8:20:1::", "2001:db8:30::7", "::1"];
    Pool {
        sources4: v4.map(|text| text.parse().unwrap()).to_vec(),
        sources6: v6.into_iter().chain(["::ffff:10.20.0.7"]).map(|text| text.parse().unwrap()).collect(),
        to4: [HERE4, "10.20.0.2"].map(|text| text.parse().unwrap()).to_vec(),
        to6: [HERE6, "2001:db8:20::2"].map(|text| text.parse().unwrap()).to_vec(),
        ports: vec![104, 104, 11_112, 8042, 514, 22, 103, 105],
    }
}

#[test]
fn kernel_and_user_space_agree_on_random_frames() {
    let seed = random::seed();
    let most = random::number(random::FRAMES);
    let mut bench = Bench::new(SITE);
    let mut generator = Generator::new(seed, pool());
    let start = Instant::now();
    let mut sent = 0;
    let mut verdicts: HashMap<Verdict, u64> = HashMap::new();
    while most.map_or(start.elapsed() < SHARE, |most| sent < most) {
        let batch: Vec<Vec<u8>> = generator.by_ref().take(BATCH).collect();
        agree(&mut bench, &batch, sent, &mut verdicts);
        sent += BATCH as u64;
    }
    assert_eq!(bench.trial.counters().unwrap().total(), sent);
    println!("{sent} frames, {:.0} a second: {verdicts:?}", sent as f64 / start.elapsed().as_secs_f64());
    for verdict in [Verdict::Pass, Verdict::Allow, Verdict::Drop] {
        assert!(
            verdicts.get(&verdict) > Some(&(sent / 50)),
            "too few frames to show {verdict:?}: {verdicts:?}"
        );
    }
}

/// Compares drops by frame and counters by batch; where a batch differs, it finds the frame.
fn agree(bench: &mut Bench, batch: &[Vec<u8>], number: u64, verdicts: &mut HashMap<Verdict, u64>) {
    let before = bench.trial.counters().unwrap();
    let mut expected: HashMap<CounterId, u64> = HashMap::new();
    for (index, frame) in (number..).zip(batch) {
        let ruling = pacs_guard_common::verdict::judge(&&frame[..], &bench.image).ruling;
        let drops = bench.trial.drops(frame, 1).unwrap();
        assert_eq!(drops, ruling.verdict == Verdict::Drop, "frame {index}, {ruling:?}: {frame:02x?}");
        *expected.entry(ruling.counter).or_default() += 1;
        *verdicts.entry(ruling.verdict).or_default() += 1;
    }
    let after = bench.trial.counters().unwrap();
    let differs = after
        .entries()
        .any(|(id, _, packets)| packets - before.packets(id) != expected.get(&id).copied().unwrap_or(0));
    if differs {
        for (index, frame) in (number..).zip(batch) {
            let ruling = pacs_guard_common::verdict::judge(&&frame[..], &bench.image).ruling;
            let counter = bench.trial.run(frame).unwrap().map(|answer| answer.counter);
            assert_eq!(counter, Some(ruling.counter), "frame {index}, {ruling:?}: {frame:02x?}");
        }
        panic!("batch of frames from {number} on: the counters differ, and no frame alone does");
    }
}
