//! The ends of segments: told of before they come, and when they do.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::{image::SegmentEnd, span};

/// How long before a segment's end it is told of.
const BEFORE: [SignedDuration; 4] = [
    SignedDuration::from_hours(7 * 24),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(1),
    SignedDuration::ZERO,
];

/// What was told already.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// Of each segment, which end was meant, and how many times it was told of.
    told: HashMap<String, (Timestamp, usize)>,
}

impl Ends {
    /// What is to be told now, once each.
    pub(super) fn due(&mut self, ends: &[SegmentEnd], now: Timestamp) -> Vec<String> {
        self.told.retain(|name, _| ends.iter().any(|end| end.segment == *name));
        let mut due = Vec::new();
        for SegmentEnd { segment, until } in ends {
            let left = until.duration_since(now);
            let reached = BEFORE.iter().filter(|before| left <= **before).count();
            let told = self.told.get(segment).filter(|(end, _)| end == until).map_or(0, |(_, told)| *told);
            if reached > told {
                due.push(if left > SignedDuration::ZERO {
                    format!("segment {segment} ends in {}, at {until}", span::words(left.unsigned_abs()))
                } else {
                    format!("segment {segment} has ended, at {until}: it grants nothing any more")
                });
            }
            self.told.insert(segment.clone(), (*until, reached));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_of_a_week_a_day_and_an_hour_before_and_when_it_comes() {
        let until = Timestamp::from_second(2_000_000_000).unwrap();
        let ends = [SegmentEnd { segment: "viewers".into(), until }];
        let mut told = Ends::default();
        let mut heard = Vec::new();
        for minutes in (-5..=8 * 24 * 60).rev() {
            let now = until - SignedDuration::from_mins(minutes);
            heard.extend(told.due(&ends, now).into_iter().map(|line| (minutes, line)));
        }
        let minutes: Vec<i64> = heard.iter().map(|(minutes, _)| *minutes).collect();
        assert_eq!(minutes, [7 * 24 * 60, 24 * 60, 60, 0]);
        assert!(heard[0].1.contains("viewers ends in 7 d"), "{heard:?}");
        assert!(heard[3].1.contains("has ended"), "{heard:?}");
    }

    #[test]
    fn a_later_end_is_another_end() {
        let until = Timestamp::from_second(2_000_000_000).unwrap();
        let end = |until| [SegmentEnd { segment: "viewers".into(), until }];
        let mut told = Ends::default();
        assert_eq!(told.due(&end(until), until).len(), 1);
        assert_eq!(told.due(&end(until), until).len(), 0, "once");
        let later = until + SignedDuration::from_hours(30 * 24);
        assert_eq!(told.due(&end(later), until).len(), 0);
        assert_eq!(told.due(&end(later), later).len(), 1);
    }
}
