//! Runs probes, for "now" and for the daemon, never more at once than allowed.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    failure::Failure,
    plan::{Plan, ScheduledPeer},
    probe::{Target, probe},
    report::{Phases, Report},
};

/// Asks every target now, at most `concurrency` at once, and returns their reports in the same order.
///
/// Whoever calls it leaves out the peers that are marked `do_not_probe`. It takes about
/// `deadline * ceil(dead targets / concurrency)` in the worst case.
pub async fn probe_all(targets: Vec<Target>, deadline: Duration, concurrency: NonZeroUsize) -> Vec<Report> {
    let mut reports = Vec::with_capacity(targets.len());
    let mut running = JoinSet::new();
    for (index, target) in targets.into_iter().enumerate() {
        if running.len() >= concurrency.get() {
            reports.extend(running.join_next().await.and_then(Result::ok));
        }
        running.spawn(async move { (index, shielded(target, deadline).await) });
    }
    while let Some(done) = running.join_next().await {
        reports.extend(done.ok());
    }
    reports.sort_unstable_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// The daemon's schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Longest time of one probe.
    pub deadline: Duration,
    /// Probes at once.
    pub concurrency: NonZeroUsize,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), concurrency: NonZeroUsize::MIN.saturating_add(63) }
    }
}

impl Schedule {
    /// Asks each peer in its turn and sends the reports, until whoever owns one of the two channels is gone.
    ///
    /// A new list in `peers` (a reload) is in force at once; a probe that is under way ends as it began.
    /// Reports that nobody takes hold their place among the running probes, so a slow reader slows the asking
    /// and grows no queue.
    pub async fn run(self, mut peers: watch::Receiver<Arc<[ScheduledPeer]>>, reports: mpsc::Sender<Report>) {
        let mut plan = Plan::default();
        plan.replace(&peers.borrow_and_update().clone(), Instant::now());
        let mut running = JoinSet::new();
        loop {
            let next = plan.next_due().filter(|_| running.len() < self.concurrency.get());
            tokio::select! {
                changed = peers.changed() => match changed {
                    Ok(()) => plan.replace(&peers.borrow_and_update().clone(), Instant::now()),
                    Err(_) => return,
                },
                () = reports.closed() => return,
                // `shielded` reports a crash of its probe, so there is nothing to learn here.
                Some(_) = running.join_next() => {}
                () = at(next) => if let Some(target) = plan.take_due(Instant::now()) {
                    let (reports, deadline) = (reports.clone(), self.deadline);
                    running.spawn(async move {
                        let report = shielded(target, deadline).await;
                        // A closed channel ends the loop above.
                        let _ = reports.send(report).await;
                    });
                },
            }
        }
    }
}

/// Resolves at a time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A probe in a task of its own: should one crash on what a peer sends, that is reported, and the others go
/// on.
async fn shielded(target: Target, deadline: Duration) -> Report {
    let when = jiff::Timestamp::now();
    let asked = target.clone();
    match tokio::spawn(async move { probe(&asked, deadline).await }).await {
        Ok(report) => report,
        Err(_) => Report::new(&target, when, Phases::default(), Err(Failure::Internal)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// Nothing listens on port 1 of loopback; what the outcome is does not matter here.
    fn peer(name: &str, do_not_probe: bool) -> ScheduledPeer {
        let target = Target {
            name: name.into(),
            address: "127.0.0.1".parse().unwrap(),
            port: 1,
            called: name.into(),
            calling: "PACSGUARD".into(),
            tls: None,
        };
        ScheduledPeer { target, every: Some(Duration::from_secs(60)), do_not_probe }
    }

    #[tokio::test(start_paused = true)]
    async fn asks_in_turn_and_follows_a_reload() {
        let (list, peers) = watch::channel(Arc::from([peer("CT1", false), peer("CT2", true)]));
        let (reports, mut inbox) = mpsc::channel(1);
        let daemon = tokio::spawn(Schedule::default().run(peers, reports));
        for _ in 0..5 {
            assert_eq!(inbox.recv().await.unwrap().peer, "CT1");
        }
        list.send(Arc::from([peer("CT3", false)])).unwrap();
        let later: Vec<_> = [inbox.recv().await, inbox.recv().await, inbox.recv().await].into();
        // One probe of the old list may have been under way.
        assert_eq!(later[2].as_ref().unwrap().peer, "CT3");
        drop(list);
        daemon.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_at_once_than_allowed() {
        // It accepts nothing, so that each probe lasts for its whole deadline.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let list: Vec<_> = (0..20)
            .map(|n| {
                let mut peer = peer(&format!("CT{n}"), false);
                peer.target.port = silent.local_addr().unwrap().port();
                peer
            })
            .collect();
        let (_list, peers) = watch::channel(Arc::from(list));
        let (reports, mut inbox) = mpsc::channel(1);
        let schedule =
            Schedule { deadline: Duration::from_secs(100), concurrency: NonZeroUsize::new(2).unwrap() };
        let begun = Instant::now();
        tokio::spawn(schedule.run(peers, reports));
        for _ in 0..10 {
            inbox.recv().await.unwrap();
        }
        let rounds = begun.elapsed().as_secs() / 100;
        assert_eq!(rounds, 5, "ten probes, two at once");
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_nobody_reads() {
        let (_list, peers) = watch::channel(Arc::from([peer("CT1", false)]));
        let (reports, inbox) = mpsc::channel(1);
        drop(inbox);
        Schedule::default().run(peers, reports).await;
    }

    #[tokio::test]
    async fn reports_come_in_the_order_of_the_targets() {
        let targets: Vec<_> = (0..20).map(|n| peer(&format!("CT{n}"), false).target).collect();
        let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        let reports = probe_all(targets, Duration::from_secs(5), NonZeroUsize::new(3).unwrap()).await;
        assert_eq!(reports.iter().map(|report| report.peer.clone()).collect::<Vec<_>>(), names);
        assert!(reports.iter().all(|report| report.outcome == Err(Failure::Refused)));
    }
}
