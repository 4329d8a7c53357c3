//! The search structure: equal steps, and for each the root of a static tree of nodes of one cache line.

use pacs_guard_common::abi::{Cell, Index, Link, NODE_KEYS, Node};

/// Children of a node.
const CHILDREN: usize = NODE_KEYS + 1;

/// Ranges to a step of an index, where they lie evenly: most trees then are their root.
const RANGES_A_STEP: u64 = 2;

/// A range of keys, by its last one; it starts behind the range before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) last: u64,
    pub(super) link: Link,
}

/// Appends the trees of an index over ranges, and returns the index.
///
/// The ranges are sorted, at least one, and the last one has no end: a key behind it belongs to it too.
pub(super) fn plant(cells: &mut Vec<Cell>, ranges: &[KeyRange]) -> Index {
    // Nothing changes before the end of the first range, nor behind the end of the last but one.
    let base = ranges.first().map_or(0, |range| range.last);
    let top = ranges.iter().rev().nth(1).map_or(base, |range| range.last.saturating_add(1));
    let most = (ranges.len() as u64 / RANGES_A_STEP).max(1);
    let shift = (0..63).find(|shift| (top - base) >> shift < most).unwrap_or(63);
    let last = (top - base) >> shift;
    let nodes = cells.len();
    cells.resize(nodes + last as usize + 1, Cell::default());
    let mut rest = ranges;
    for step in 0..=last {
        let end = if step == last { u64::MAX } else { base + ((step + 1) << shift) - 1 };
        let within = rest.iter().take_while(|range| range.last < end).count() + 1;
        let root = root(cells, rest.get(..within).unwrap_or(rest), base);
        if let Some(cell) = cells.get_mut(nodes + step as usize) {
            *cell = root.to_cell();
        }
        // The last one goes on in the next step, unless it ends with this one.
        let ends = rest.get(within - 1).is_some_and(|range| range.last == end);
        rest = rest.get(if ends { within } else { within - 1 }..).unwrap_or_default();
    }
    Index { base, shift, last: last as u32, nodes: nodes as u32 }
}

/// Appends two trees over ranges of the lower halves of addresses, one for each first bit, and returns the link to them.
pub(super) fn lower_trees(cells: &mut Vec<Cell>, ranges: &[KeyRange]) -> Link {
    const SECOND: u64 = 1 << 63;
    let end = ranges.partition_point(|range| range.last < SECOND - 1) + 1;
    let start = ranges.partition_point(|range| range.last < SECOND);
    let roots = [
        root(cells, ranges.get(..end).unwrap_or(ranges), 0),
        root(cells, ranges.get(start..).unwrap_or_default(), SECOND),
    ];
    let [first, _] = roots.map(|root| push(cells, &root));
    first.by_lower_half()
}

/// Appends all of a tree but its root, and returns that.
fn root(cells: &mut Vec<Cell>, ranges: &[KeyRange], base: u64) -> Node {
    if ranges.len() <= CHILDREN {
        return node(ranges, base);
    }
    let parent = |children: &[KeyRange]| KeyRange {
        last: children.last().map_or(0, |range| range.last),
        link: push(cells, &node(children, base)),
    };
    let level: Vec<KeyRange> = ranges.chunks(CHILDREN).map(parent).collect();
    root(cells, &level, base)
}

/// The node over at most [`CHILDREN`] ranges.
fn node(ranges: &[KeyRange], base: u64) -> Node {
    let (last, bounded) = match ranges.split_last() {
        Some((last, bounded)) => (last.link, bounded),
        None => (Link::to_value(0), ranges),
    };
    let end = bounded.last().map_or(base, |range| range.last);
    let mut node = Node { keys: [end - base; NODE_KEYS], links: [last.to_half(); CHILDREN] };
    node.keys.iter_mut().zip(bounded).for_each(|(key, range)| *key = range.last - base);
    node.links.iter_mut().zip(bounded).for_each(|(link, range)| *link = range.link.to_half());
    node
}

fn push(cells: &mut Vec<Cell>, node: &Node) -> Link {
    cells.push(node.to_cell());
    Link::to_node(cells.len() as u32 - 1)
}
