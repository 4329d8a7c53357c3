//! From overlapping prefixes to disjoint ranges of addresses.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use ipnet::IpNet;

/// Numbers the sets of segments; set 0 is the empty one.
///
/// A set is kept once. All together hold [`Sets::MOST`] segments at most: thousands of segments over one prefix, with
/// prefixes of theirs nested in it, would make as many sets as prefixes, each of thousands.
#[derive(Default)]
pub(super) struct Sets {
    numbers: HashMap<Arc<[u32]>, u32>,
    members: Vec<Arc<[u32]>>,
    /// What a set becomes when a prefix of a segment opens in it.
    steps: HashMap<(u32, u32, bool), u32>,
    held: usize,
    full: bool,
}

impl Sets {
    /// The set of no segment.
    pub(super) const EMPTY: u32 = 0;
    /// The segments that all sets may hold together: 128 MiB.
    pub(super) const MOST: usize = 32 << 20;

    pub(super) fn new() -> Self {
        let mut sets = Self::default();
        sets.number(Vec::new());
        sets
    }

    /// The segments of each set, the most specific first.
    pub(super) fn members(&self) -> &[Arc<[u32]>] {
        &self.members
    }

    /// Whether a set did not fit, so that what was flattened is of no use.
    pub(super) const fn full(&self) -> bool {
        self.full
    }

    /// The set inside a prefix that opens in another set.
    fn step(&mut self, outer: u32, segment: u32, except: bool) -> u32 {
        let key = (outer, segment, except);
        if let Some(set) = self.steps.get(&key) {
            return *set;
        }
        let first = (!except).then_some(segment);
        let others = self.members.get(outer as usize).map_or(&[][..], |set| set);
        let others = others.iter().copied().filter(|other| *other != segment);
        let set = self.number(first.into_iter().chain(others).collect());
        self.steps.insert(key, set);
        set
    }

    fn number(&mut self, members: Vec<u32>) -> u32 {
        if let Some(number) = self.numbers.get(members.as_slice()) {
            return *number;
        }
        self.full |= self.held + members.len() > Self::MOST;
        if self.full {
            return Self::EMPTY;
        }
        self.held += members.len();
        let number = self.members.len() as u32;
        let members: Arc<[u32]> = members.into();
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
        .filter_map(|item| {
            let Item { prefix, segment, except } = item;
            bounds(prefix, width).map(|(first, last)| Open { first, last, segment, except, set: 0 })
        })
        .collect();
    // Outer prefixes first; of equal ones the segment declared first comes last, and so lies on top, its exception
    // above its source. What is equal even so is the same.
    items.sort_unstable_by_key(|open| (open.first, Reverse((open.last, open.segment)), open.except));
    let ranges = vec![Range { first: 0, set: Sets::EMPTY }];
    let mut sweep = Sweep { end: width.last(), open: Vec::new(), excepted: HashMap::new(), ranges, sets };
    for open in items {
        while sweep.close(|top| top.last < open.first) {}
        sweep.open(open);
    }
    while sweep.close(|_| true) {}
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
    segment: u32,
    except: bool,
    /// The set of the addresses in it that are in no inner prefix.
    set: u32,
}

struct Sweep<'a> {
    /// The family's last address.
    end: u128,
    open: Vec<Open>,
    /// How many open exceptions a segment has.
    excepted: HashMap<u32, u32>,
    ranges: Vec<Range>,
    sets: &'a mut Sets,
}

impl Sweep<'_> {
    fn set(&self) -> u32 {
        self.open.last().map_or(Sets::EMPTY, |open| open.set)
    }

    /// Opens a prefix. An exception beats every source of its segment, outer and inner.
    fn open(&mut self, open: Open) {
        let Open { segment, except, .. } = open;
        if except {
            *self.excepted.entry(segment).or_default() += 1;
        }
        let set = match self.set() {
            outer if !except && self.excepted.get(&segment).is_some_and(|count| *count > 0) => outer,
            outer => self.sets.step(outer, segment, except),
        };
        self.open.push(Open { set, ..open });
        self.mark(open.first);
    }

    /// Closes the innermost prefix, if it is of that kind; whether it was.
    fn close(&mut self, which: impl Fn(&Open) -> bool) -> bool {
        let Some(open) = self.open.pop_if(|open| which(open)) else { return false };
        if open.except {
            self.excepted.entry(open.segment).and_modify(|count| *count -= 1);
        }
        if open.last < self.end {
            self.mark(open.last + 1);
        }
        true
    }

    /// Starts a range with the set of the open prefixes.
    fn mark(&mut self, first: u128) {
        let set = self.set();
        self.ranges.pop_if(|range| range.first == first);
        if self.ranges.last().is_none_or(|range| range.set != set) {
            self.ranges.push(Range { first, set });
        }
    }
}
