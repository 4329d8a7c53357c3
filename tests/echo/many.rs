//! Five hundred peers at once, most of them dead: bounded in time and memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod scp;

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use pacs_guard::echo::probe_all;
use scp::{hole, peak_kib, serve, success, target};

const DEADLINE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_at_once_with_450_dead() {
    let (hole, _listener, _fillers) = hole().await;
    // All but the last byte of the largest PDU that is allowed: the most that a peer can make a probe hold.
    let silent = serve(|mut peer| async move {
        peer.write(&[2, 0, 0, 0, 0x40, 0]).await;
        peer.write(&[0x20; 16_383]).await;
        peer.wait().await;
    })
    .await;
    let alive = serve(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&success()).await;
        peer.wait().await;
    })
    .await;
    let targets: Vec<_> = (0..500)
        .map(|n| match n % 10 {
            0 => target(alive),
            1..=4 => target(silent),
            _ => target(hole),
        })
        .collect();
    let before = peak_kib();
    let begun = Instant::now();
    let reports = probe_all(targets, DEADLINE, NonZeroUsize::new(500).unwrap()).await;
    let (took, grown) = (begun.elapsed(), peak_kib() - before);
    println!(
        "500 peers, 450 dead: {took:?} with a deadline of {DEADLINE:?}, peak memory grew by {grown} KiB"
    );
    let count = |kind| {
        reports.iter().filter(|report| report.outcome.as_ref().is_err_and(|f| f.kind() == kind)).count()
    };
    assert_eq!(reports.iter().filter(|report| report.outcome.is_ok()).count(), 50);
    assert_eq!(count("too-slow"), 200);
    assert_eq!(count("no-answer"), 250);
    assert!(took < DEADLINE + Duration::from_secs(1), "took {took:?}");
    assert!(grown < 64 * 1024, "grew by {grown} KiB");
}
