//! The watch over what a policy in audit mode would drop, as it is kept on disk.

use std::collections::BTreeMap;

use pacs_guard_common::abi::CounterId;
use serde::{Deserialize, Serialize};

use crate::datapath::BootTime;

/// What is watched: one policy, on counters that count on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The hash of the policy.
    pub sha256: String,
    /// The boot that the clock counts from.
    pub boot: String,
    /// The kernel's number of the map of counters, which is another one after `detach`.
    pub counters: u32,
}

/// Since when a policy is watched, and when it would have dropped something last.
///
/// Times are read from exact counters and not from events, so that nothing is missed while no daemon runs: what was
/// counted meanwhile is booked on the time when it is found, which is late rather than early.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    watched: Watched,
    /// In nanoseconds since boot.
    since: u64,
    /// By the number of the counter.
    rows: BTreeMap<u32, Row>,
}

/// What one counter counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// Packets when the watch began.
    base: u64,
    /// Packets when it was looked at last.
    packets: u64,
    /// When it had grown, in nanoseconds since boot.
    last: Option<u64>,
}

impl Watch {
    /// Begins a watch.
    pub fn begin(watched: Watched, now: BootTime, counters: &[(CounterId, u64)]) -> Self {
        let row = |packets| Row { base: packets, packets, last: None };
        let rows = counters.iter().map(|(counter, packets)| (counter.number(), row(*packets))).collect();
        Self { watched, since: now.nanoseconds(), rows }
    }

    /// Whether the watch is over this policy on these counters.
    pub fn is_over(&self, watched: &Watched) -> bool {
        self.watched == *watched
    }

    /// Takes a reading of the counters; whether one has grown since the last.
    pub fn look(&mut self, now: BootTime, counters: &[(CounterId, u64)]) -> bool {
        let mut grown = false;
        for (counter, packets) in counters {
            let row = self.rows.entry(counter.number()).or_insert(Row { base: 0, packets: 0, last: None });
            if row.packets != *packets {
                *row = Row { packets: *packets, last: Some(now.nanoseconds()), ..*row };
                grown = true;
            }
        }
        grown
    }

    /// When the watch began.
    pub fn since(&self) -> Option<BootTime> {
        BootTime::from_nanoseconds(self.since)
    }

    /// Packets of a counter since the watch began, and when they were found last.
    pub fn found(&self, counter: CounterId) -> (u64, Option<BootTime>) {
        let row = self.rows.get(&counter.number());
        let last = row.and_then(|row| row.last).and_then(BootTime::from_nanoseconds);
        (row.map_or(0, |row| row.packets.saturating_sub(row.base)), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: CounterId = CounterId::FIRST_BOOKED;

    fn at(second: u64) -> BootTime {
        BootTime::from_nanoseconds(second * 1_000_000_000).unwrap()
    }

    #[test]
    fn what_counted_before_is_not_held_against_a_policy_and_what_grows_later_is() {
        let mut watch = Watch::begin(Watched::default(), at(10), &[(COUNTER, 7)]);
        assert_eq!(watch.found(COUNTER), (0, None));
        assert!(!watch.look(at(20), &[(COUNTER, 7)]));
        assert!(watch.look(at(30), &[(COUNTER, 9)]));
        assert!(!watch.look(at(40), &[(COUNTER, 9)]));
        assert_eq!(watch.found(COUNTER), (2, Some(at(30))));
        assert_eq!(watch.since(), Some(at(10)));
    }

    #[test]
    fn a_counter_that_is_new_counts_from_zero() {
        let mut watch = Watch::begin(Watched::default(), at(10), &[]);
        assert!(watch.look(at(20), &[(COUNTER, 1)]));
        assert_eq!(watch.found(COUNTER), (1, Some(at(20))));
    }

    #[test]
    fn another_policy_boot_or_map_is_another_watch() {
        let watched = Watched { sha256: "a".into(), boot: "b".into(), counters: 1 };
        let watch = Watch::begin(watched.clone(), at(1), &[]);
        assert!(watch.is_over(&watched));
        assert!(!watch.is_over(&Watched { sha256: "x".into(), ..watched.clone() }));
        assert!(!watch.is_over(&Watched { boot: "x".into(), ..watched.clone() }));
        assert!(!watch.is_over(&Watched { counters: 2, ..watched }));
    }
}
