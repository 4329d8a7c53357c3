//! From overlapping prefixes to disjoint ranges of addresses.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use ipnet::IpNet;

/// Numbers the sets of segments; set 0 is the empty one.
#[derive(Default)]
pub(super) struct Sets {
    numbers: HashMap<Vec<u32>, u32>,
    members: Vec<Vec<u32>>,
}

impl Sets {
    /// The set of no segment.
    pub(super) const EMPTY: u32 = 0;

    pub(super) fn new() -> Self {
        let mut sets = Self::default();
        sets.number(Vec::new());
        sets
    }

    /// The segments of each set, the most specific first.
    pub(super) fn members(&self) -> &[Vec<u32>] {
        &self.members
    }

    fn number(&mut self, members: Vec<u32>) -> u32 {
        if let Some(number) = self.numbers.get(&members) {
            return *number;
        }
        let number = self.members.len() as u32;
        self.members.push(members.clone());
        self.numbers.insert(members, number);
        number
    }
}

/// A range of addresses that lie in the same segments, by its first one; it ends before the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u128,
    pub(super) set: u32,
}

/// A prefix that a segment names.
#[derive(Clone, Copy)]
pub(super) struct Item {
    prefix: IpNet,
    segment: u32,
    except: bool,
}

impl Item {
    /// A prefix that lies in a segment.
    pub(super) const fn source(prefix: IpNet, segment: u32) -> Self {
        Self { prefix, segment, except: false }
    }

    /// A prefix that is carved out of a segment.
    pub(super) const fn except(prefix: IpNet, segment: u32) -> Self {
        Self { prefix, segment, except: true }
    }
}

/// The family of the addresses to flatten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    V4,
    V6,
}

impl Width {
    /// The family's last address.
    pub(super) const fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }
}

/// Flattens prefixes to ranges from address 0 on, neighbours being in different sets.
///
/// Prefixes never cross, they only nest. So one sweep with a stack of the open ones is enough.
pub(super) fn flatten(items: impl Iterator<Item = Item>, width: Width, sets: &mut Sets) -> Vec<Range> {
    let mut items: Vec<Open> = items
        .filter_map(|item| bounds(item.prefix, width).map(|(first, last)| Open { first, last, item }))
        .collect();
    // Outer prefixes first; of equal ones the segment declared first comes last, and so lies on top.
    items.sort_by_key(|open| (open.first, Reverse((open.last, open.item.segment))));
    let mut sweep = Sweep { open: Vec::new(), ranges: vec![Range { first: 0, set: Sets::EMPTY }], sets };
    for open in items {
        sweep.close_before(open.first);
        sweep.open.push(open);
        sweep.mark(open.first);
    }
    while let Some(open) = sweep.open.pop() {
        if open.last < width.last() {
            sweep.mark(open.last + 1);
        }
    }
    sweep.ranges
}

/// The first and last address of a prefix, where it is of the family.
fn bounds(prefix: IpNet, width: Width) -> Option<(u128, u128)> {
    match (prefix, width) {
        (IpNet::V4(prefix), Width::V4) => {
            Some((prefix.network().to_bits().into(), prefix.broadcast().to_bits().into()))
        }
        (IpNet::V6(prefix), Width::V6) => Some((prefix.network().to_bits(), prefix.broadcast().to_bits())),
        _ => None,
    }
}

/// A prefix that covers the sweep's address.
#[derive(Clone, Copy)]
struct Open {
    first: u128,
    last: u128,
    item: Item,
}

struct Sweep<'a> {
    open: Vec<Open>,
    ranges: Vec<Range>,
    sets: &'a mut Sets,
}

impl Sweep<'_> {
    /// Closes the prefixes that end before an address.
    fn close_before(&mut self, first: u128) {
        while let Some(open) = self.open.pop_if(|open| open.last < first) {
            self.mark(open.last + 1);
        }
    }

    /// Starts a range with the set of the open prefixes.
    fn mark(&mut self, first: u128) {
        let set = self.sets.number(self.members());
        self.ranges.pop_if(|range| range.first == first);
        if self.ranges.last().is_none_or(|range| range.set != set) {
            self.ranges.push(Range { first, set });
        }
    }

    /// The segments of the open prefixes, the most specific first. An exception beats every source.
    fn members(&self) -> Vec<u32> {
        let excepted = self.open.iter().filter(|open| open.item.except).map(|open| open.item.segment);
        let mut seen: HashSet<u32> = excepted.collect();
        let innermost_first = self.open.iter().rev().map(|open| open.item.segment);
        innermost_first.filter(|segment| seen.insert(*segment)).collect()
    }
}
