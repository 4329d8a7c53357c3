//! Drops over time: how many packets were refused in each of the last steps, for the plot.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::observe::Totals;

/// The time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// Steps that are kept: ten minutes.
const KEPT: usize = 120;

/// Refused packets, one number a step, the oldest first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Drops {
    step_seconds: u64,
    dropped: VecDeque<u64>,
    would_drop: VecDeque<u64>,
    /// The sums at the last sample; none before the first.
    #[serde(skip)]
    last: Option<(u64, u64)>,
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            step_seconds: STEP.as_secs(),
            dropped: VecDeque::with_capacity(KEPT),
            would_drop: VecDeque::with_capacity(KEPT),
            last: None,
        }
    }
}

impl Drops {
    /// Takes the sums of now. Counters that began anew, after `detach`, count from zero.
    pub(super) fn sample(&mut self, totals: &Totals) {
        let now = (totals.dropped, totals.would_drop);
        if let Some(last) = self.last {
            push(&mut self.dropped, now.0.checked_sub(last.0).unwrap_or(now.0));
            push(&mut self.would_drop, now.1.checked_sub(last.1).unwrap_or(now.1));
        }
        self.last = Some(now);
    }
}

fn push(steps: &mut VecDeque<u64>, packets: u64) {
    if steps.len() == KEPT {
        steps.pop_front();
    }
    steps.push_back(packets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_what_came_in_it() {
        let mut drops = Drops::default();
        for dropped in [100, 100, 134, 5] {
            drops.sample(&Totals { dropped, would_drop: dropped / 2, ..Totals::default() });
        }
        assert_eq!(drops.dropped, [0, 34, 5]);
        assert_eq!(drops.would_drop, [0, 17, 2]);
        for dropped in 0..1000 {
            drops.sample(&Totals { dropped, ..Totals::default() });
        }
        assert_eq!((drops.dropped.len(), drops.would_drop.len()), (KEPT, KEPT));
    }
}
