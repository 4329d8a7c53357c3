//! Static search trees: sorted ranges in nodes of one cache line.

use pacs_guard_common::abi::{Cell, NODE_KEYS, Node};

/// Children of a node.
const CHILDREN: usize = NODE_KEYS + 1;

/// A range of keys, by its last one; it starts behind the range before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) last: u64,
    pub(super) value: u64,
}

/// Appends a search tree to the cells and returns its root.
///
/// The ranges are sorted, at least one, and the last one has no end: a key behind it belongs to it too.
/// Each level lies in one run, so that a node names only its first child.
pub(super) fn plant(cells: &mut Vec<Cell>, ranges: &[KeyRange]) -> u32 {
    let values = cells.len();
    for chunk in ranges.chunks(CHILDREN) {
        let mut lanes = [0; CHILDREN];
        lanes.iter_mut().zip(chunk).for_each(|(lane, range)| *lane = range.value);
        cells.push(lanes);
    }
    let lasts: Vec<u64> = ranges.iter().map(|range| range.last).collect();
    let mut lasts = grow(cells, &lasts, |chunk| Node::Leaf(((values + chunk) * CHILDREN) as u32));
    while lasts.len() > 1 {
        let children = cells.len() - lasts.len();
        lasts = grow(cells, &lasts, |chunk| Node::Inner((children + chunk * CHILDREN) as u32));
    }
    (cells.len() - 1) as u32
}

/// Appends one level of nodes over children with these last keys; returns the nodes' own last keys.
fn grow(cells: &mut Vec<Cell>, lasts: &[u64], link: impl Fn(usize) -> Node) -> Vec<u64> {
    let chunks = lasts.chunks(CHILDREN).enumerate();
    chunks
        .filter_map(|(index, chunk)| {
            let (last, bounded) = chunk.split_last()?;
            let mut keys = [u64::MAX; NODE_KEYS];
            keys.iter_mut().zip(bounded).for_each(|(key, last)| *key = *last);
            cells.push(link(index).to_cell(keys));
            Some(*last)
        })
        .collect()
}
