//! The reach of a service: the source addresses that are not dropped.

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use jiff::Timestamp;
use pacs_guard_common::verdict::Verdict;
use serde::{Serialize, Serializer};

use super::{
    compile::{closed, items},
    ranges::{Sets, Width, flatten},
    rulings::outcome,
};
use crate::policy::model::Policy;

/// First and last address of each range.
type Ranges = Vec<(u128, u128)>;

/// The source addresses that a service does not drop, as ranges that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    v4: Ranges,
    v6: Ranges,
}

/// A number of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// IPv4 addresses.
    pub ipv4: u64,
    /// IPv6 addresses; `u128::MAX` stands for all of them too. In JSON a text of digits: numbers hold 64 bits there.
    #[serde(serialize_with = "as_text")]
    pub ipv6: u128,
}

fn as_text<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

impl Size {
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.ipv4 == 0 && self.ipv6 == 0
    }
}

impl Reach {
    /// The reach of ports that nothing protects.
    pub fn everyone() -> Self {
        Self { v4: vec![(0, Width::V4.last())], v6: vec![(0, Width::V6.last())] }
    }

    /// The reach of a policy's service at a time, by its index.
    pub fn of(policy: &Policy, index: usize, at: Timestamp) -> Self {
        let Some(service) = policy.services.get(index) else { return Self::everyone() };
        let reach = |width| {
            let mut sets = Sets::new();
            let ranges = flatten(items(policy), width, &mut sets);
            let passes: Vec<bool> = sets
                .members()
                .iter()
                .map(|set| outcome(policy, set, index, service, at).verdict != Verdict::Drop)
                .collect();
            let mut reach: Ranges = Vec::new();
            for (first, last, range) in closed(&ranges, width) {
                if !passes.get(range.set as usize).copied().unwrap_or(false) {
                    continue;
                }
                extend(&mut reach, first, last);
            }
            reach
        };
        Self { v4: reach(Width::V4), v6: reach(Width::V6) }
    }

    /// Nobody.
    pub(super) const fn nobody() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds a range behind all others of its family.
    pub(super) fn add(&mut self, width: Width, first: u128, last: u128) {
        match width {
            Width::V4 => extend(&mut self.v4, first, last),
            Width::V6 => extend(&mut self.v6, first, last),
        }
    }

    /// The addresses of prefixes.
    pub(super) fn of_prefixes(prefixes: &[IpNet]) -> Self {
        let mut reach = Self::nobody();
        for prefix in IpNet::aggregate(&prefixes.to_vec()) {
            match prefix {
                IpNet::V4(net) => {
                    reach.add(Width::V4, net.network().to_bits().into(), net.broadcast().to_bits().into());
                }
                IpNet::V6(net) => reach.add(Width::V6, net.network().to_bits(), net.broadcast().to_bits()),
            }
        }
        reach
    }

    /// The addresses as prefixes, as few as can be.
    pub(super) fn prefixes(&self) -> Vec<IpNet> {
        let v4 = self.v4.iter().flat_map(|(first, last)| {
            Ipv4Subnets::new((*first as u32).into(), (*last as u32).into(), 0).map(IpNet::V4)
        });
        let v6 = self
            .v6
            .iter()
            .flat_map(|(first, last)| Ipv6Subnets::new((*first).into(), (*last).into(), 0).map(IpNet::V6));
        v4.chain(v6).collect()
    }

    /// How many addresses are in this reach and not in the other.
    pub fn beyond(&self, other: &Self) -> Size {
        let ipv4 = beyond(&self.v4, &other.v4).try_into().unwrap_or(u64::MAX);
        Size { ipv4, ipv6: beyond(&self.v6, &other.v6) }
    }
}

/// Adds a range behind the others, or to the last one where they touch.
fn extend(ranges: &mut Ranges, first: u128, last: u128) {
    match ranges.last_mut() {
        Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
        _ => ranges.push((first, last)),
    }
}

fn beyond(these: &[(u128, u128)], those: &[(u128, u128)]) -> u128 {
    let mut count: u128 = 0;
    for (first, last) in these {
        // The next address that is not looked at yet; none behind the last address of all.
        let mut next = Some(*first);
        let from = those.partition_point(|(_, end)| end < first);
        for (start, end) in those.iter().skip(from).take_while(|(start, _)| start <= last) {
            count = count.saturating_add(next.map_or(0, |next| start.saturating_sub(next)));
            next = end.checked_add(1);
        }
        if let Some(next) = next.filter(|next| next <= last) {
            count = count.saturating_add((last - next).saturating_add(1));
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_is_counted() {
        let all = vec![(0, u128::MAX)];
        let rows: [(Ranges, Ranges, u128); 9] = [
            (vec![], vec![(0, 9)], 0),
            (vec![(0, 9)], vec![], 10),
            (vec![(0, 9)], vec![(0, 9)], 0),
            (vec![(0, 9)], vec![(2, 3), (5, 5)], 7),
            (vec![(5, 9)], vec![(0, 6)], 3),
            (vec![(0, 9)], vec![(8, 20)], 8),
            (vec![(0, 1), (4, 5), (8, 9)], vec![(1, 8)], 2),
            (all.clone(), vec![(1, u128::MAX)], 1),
            (all, vec![], u128::MAX),
        ];
        for (these, those, expected) in rows {
            assert_eq!(beyond(&these, &those), expected, "{these:?} beyond {those:?}");
        }
    }
}
