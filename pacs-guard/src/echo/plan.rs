//! Who is to be asked when: the rate limit and the jitter, with no clock and no network of its own.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    time::Duration,
};

use tokio::time::Instant;

use super::Target;
use crate::policy::model::Peer;

/// A peer is never asked by schedule more often than this, whatever the policy says.
pub const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Nor more seldom, which also keeps every sum of times within what the clock can hold.
const MAX_INTERVAL: Duration = Duration::from_secs(366 * 86_400);

/// A peer as the policy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledPeer {
    /// Whom to ask.
    pub target: Target,
    /// Interval between two probes, held between [`MIN_INTERVAL`] and a year; `None` means only when somebody
    /// asks for it.
    pub every: Option<Duration>,
    /// The site or the vendor forbids it: never asked.
    pub do_not_probe: bool,
}

impl From<&Peer> for ScheduledPeer {
    fn from(peer: &Peer) -> Self {
        Self { target: Target::from(peer), every: peer.every, do_not_probe: peer.do_not_probe }
    }
}

/// The next time of every peer that is asked by schedule.
#[derive(Debug, Default)]
pub(super) struct Plan {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    target: Target,
    interval: Duration,
    asked: Option<Instant>,
    due: Instant,
}

impl Plan {
    /// Takes a new list of peers. One that was asked before keeps its turn: no number of reloads makes a peer
    /// be asked sooner than its interval, nor puts it off for ever.
    pub(super) fn replace(&mut self, peers: &[ScheduledPeer], now: Instant) {
        let old = std::mem::take(&mut self.entries);
        let old: HashMap<_, _> = old.iter().map(|entry| (device(&entry.target), entry)).collect();
        self.entries = peers
            .iter()
            .filter(|peer| !peer.do_not_probe)
            .filter_map(|peer| {
                let interval = peer.every?.clamp(MIN_INTERVAL, MAX_INTERVAL);
                let first = now + phase(&peer.target.name, interval);
                let before = old.get(&device(&peer.target));
                let asked = before.and_then(|entry| entry.asked);
                let due = match (before, asked) {
                    (_, Some(asked)) => asked + interval,
                    (Some(waiting), None) => first.min(waiting.due),
                    (None, None) => first,
                };
                Some(Entry { target: peer.target.clone(), interval, asked, due })
            })
            .collect();
    }

    /// When the next peer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.due).min()
    }

    /// The peer that has been due for longest, if one is; it is booked as asked now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Target> {
        let entry = self.entries.iter_mut().min_by_key(|entry| entry.due).filter(|entry| entry.due <= now)?;
        entry.asked = Some(now);
        entry.due = now + entry.interval;
        Some(entry.target.clone())
    }
}

/// What the rate limit protects: one application entity, whatever its name in the policy.
fn device(target: &Target) -> (IpAddr, u16, &str) {
    (target.address, target.port, &target.called)
}

/// A peer's place within its interval: the same every time, and spread evenly over many peers, so that
/// neither a restart nor a long list asks all of them at once.
fn phase(name: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    interval.mul_f64(f64::from(hasher.finish() as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn peer(name: &str, every: Option<Duration>) -> ScheduledPeer {
        let octet = name.bytes().map(u32::from).sum::<u32>();
        let target = Target {
            name: name.into(),
            address: std::net::Ipv4Addr::from(0x0A00_0000 + octet).into(),
            port: 104,
            called: "ANY".into(),
            calling: "PACSGUARD".into(),
            tls: None,
        };
        ScheduledPeer { target, every, do_not_probe: false }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// Lets a plan run from a time on for a while, in steps of a second; seconds at which someone was asked.
    fn asked(plan: &mut Plan, from: Instant, seconds: u64) -> Vec<u64> {
        let mut times = Vec::new();
        for second in 0..seconds {
            while plan.take_due(from + Duration::from_secs(second)).is_some() {
                times.push(second);
            }
        }
        times
    }

    #[test]
    fn each_peer_is_asked_once_an_interval() {
        let now = Instant::now();
        let mut plan = Plan::default();
        plan.replace(&[peer("CT1", Some(MINUTE))], now);
        let times = asked(&mut plan, now, 600);
        assert_eq!(times.len(), 10);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 60));
    }

    #[test]
    fn forbidden_and_on_demand_peers_are_never_due() {
        let forbidden = ScheduledPeer { do_not_probe: true, ..peer("CT1", Some(MINUTE)) };
        let mut plan = Plan::default();
        plan.replace(&[forbidden, peer("CT2", None)], Instant::now());
        assert_eq!(plan.next_due(), None);
    }

    #[test]
    fn an_interval_is_never_under_the_minimum() {
        let now = Instant::now();
        let mut plan = Plan::default();
        plan.replace(&[peer("CT1", Some(Duration::from_secs(1)))], now);
        assert_eq!(asked(&mut plan, now, 100).len(), 10);
    }

    #[test]
    fn many_peers_are_spread() {
        let now = Instant::now();
        let peers: Vec<_> = (0..600).map(|n| peer(&format!("CT{n}"), Some(MINUTE))).collect();
        let mut plan = Plan::default();
        plan.replace(&peers, now);
        let times = asked(&mut plan, now, 61);
        let busiest = (0..60).map(|second| times.iter().filter(|&&t| t == second).count()).max().unwrap();
        assert_eq!(times.len(), 600);
        assert!(busiest <= 30, "{busiest} of 600 in one second of 60");
    }

    #[test]
    fn reloads_neither_hasten_nor_postpone() {
        let now = Instant::now();
        let mut plan = Plan::default();
        let mut times = Vec::new();
        for second in 0..600 {
            let at = now + Duration::from_secs(second);
            // The name changes too: a rename must not be a way round the limit.
            plan.replace(
                &[ScheduledPeer {
                    target: Target { name: format!("n{second}"), ..peer("CT1", None).target },
                    ..peer("CT1", Some(MINUTE))
                }],
                at,
            );
            if plan.take_due(at).is_some() {
                times.push(second);
            }
        }
        assert!((9..=10).contains(&times.len()), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{times:?}");
    }

    #[test]
    fn endless_intervals_are_no_panic() {
        let peers: Vec<_> = (0..600).map(|n| peer(&format!("CT{n}"), Some(Duration::MAX))).collect();
        let now = Instant::now();
        let mut plan = Plan::default();
        plan.replace(&peers, now);
        assert!(plan.take_due(now + MAX_INTERVAL).is_some());
    }
}
