//! How many probes run at once: as many as allowed, and not one more.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crate::scp::{AMPLE, serve, success, target};
use pacs_guard::echo::probe_all;
use tokio::sync::Barrier;

#[tokio::test]
async fn four_at_once() {
    // Nobody is answered until four are there, so that fewer at once would run into the deadline.
    let four = Arc::new(Barrier::new(4));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let at = serve(move |mut peer| {
        let (four, now, most) = (Arc::clone(&four), Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            peer.hear_echo().await;
            four.wait().await;
            now.fetch_sub(1, SeqCst);
            peer.write(&success()).await;
        }
    })
    .await;
    let targets = vec![target(at); 20];
    let reports = probe_all(targets, AMPLE, NonZeroUsize::new(4).unwrap()).await;
    assert_eq!(reports.iter().filter(|report| report.outcome.is_ok()).count(), 20);
    assert_eq!(peak.load(SeqCst), 4);
}
