//! The image of a policy: the exact contents of one generation.
//!
//! An image is a run of pages, and everything in it is found by a number: a page holds [`CELLS_PER_PAGE`] cells, a
//! cell is one cache line of [`LANES_PER_CELL`] lanes, a lane is a `u64`.
//!
//! ```text
//! page 0   TCP port table: a byte a port, 0 = not protected, else 1 + the column of its rulings
//! page 1   header cell, two index cells over sources (IPv4, IPv6), and behind them the other tables:
//!          links and nodes of the indexes, rulings, and the UDP port table where a service needs one
//! ```
//!
//! The kernel holds the first [`FRONT_PAGES`] in an array of fixed size, whose look-ups it compiles into the program,
//! and the others in one as large as they are, where each look-up is a call.

/// Lanes in a cell.
pub const LANES_PER_CELL: u32 = 8;
/// Cells in a page.
pub const CELLS_PER_PAGE: u32 = 1024;
/// One cache line.
pub type Cell = [u64; LANES_PER_CELL as usize];
/// One value of the array maps: 64 KiB. Flat, for aya measures an array of arrays wrongly.
pub type Page = [u64; (CELLS_PER_PAGE * LANES_PER_CELL) as usize];
/// Pages in the array of fixed size: 2 MiB, room for some 20,000 prefixes.
pub const FRONT_PAGES: u32 = 32;

/// First lane of the TCP port table.
pub const TCP_PORTS: u32 = 0;
/// The header's cell: the first one behind the TCP port table.
pub const HEADER: u32 = 65_536 / 64;
/// The cells of the indexes of sources: IPv4, IPv6.
pub const SOURCES: u32 = HEADER + 1;

/// The header: where the tables lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the generation, counted from 1 for as long as the maps live.
    pub generation: u64,
    /// First lane of the UDP port table; 0 where no service is protected on UDP.
    pub udp_ports: u32,
    /// The columns that are protected towards some destinations only: a bit each, by their numbers. More than 64 share
    /// bits, for a column that is protected everywhere has indexes too.
    pub narrowed: u64,
    /// First cell of the indexes of those destinations, which lead to 1: two for each column, IPv4 and IPv6.
    pub narrowings: u32,
    /// First lane of the rulings on unparsed packets, one a cause, in the order of the causes.
    pub unparsed: u32,
    /// Cell where the card starts: text that names the policy, for user space only.
    pub card: u32,
    /// Length of the card in bytes.
    pub card_bytes: u32,
    /// Pages of the image.
    pub pages: u32,
}

impl Header {
    /// Packs the header.
    pub const fn to_cell(self) -> Cell {
        [
            super::ABI_VERSION as u64,
            self.generation,
            self.narrowed,
            pair(self.narrowings, self.unparsed),
            pair(self.card, self.card_bytes),
            pair(self.pages, self.udp_ports),
            0,
            0,
        ]
    }

    /// Reads a packed header.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        let [_, generation, narrowed, tables, card, pages, ..] = *cell;
        Self {
            generation,
            udp_ports: (pages >> 32) as u32,
            narrowed,
            narrowings: tables as u32,
            unparsed: (tables >> 32) as u32,
            card: card as u32,
            card_bytes: (card >> 32) as u32,
            pages: pages as u32,
        }
    }
}

/// Where a search goes on: the kind in the upper two of 32 bits, and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(u32);

impl Link {
    /// The largest number of a link.
    pub const MAX: u32 = (1 << 30) - 1;
    const NODE: u32 = 1 << 30;
    const LOWER: u32 = 1 << 31;

    /// The search is over, with this value.
    pub const fn to_value(value: u32) -> Self {
        Self(value & Self::MAX)
    }

    /// On to the node in this cell.
    pub const fn to_node(cell: u32) -> Self {
        Self(cell & Self::MAX | Self::NODE)
    }

    /// The same node, but by the address's lower half from there on: by its first bit this node or the next cell's, and
    /// by the others there. A value stays one.
    #[must_use]
    pub const fn by_lower_half(self) -> Self {
        if self.value().is_some() { self } else { Self(self.0 | Self::LOWER) }
    }

    /// Packs the link.
    pub const fn to_half(self) -> u32 {
        self.0
    }

    /// Reads a packed link.
    #[inline(always)]
    pub const fn from_half(half: u32) -> Self {
        Self(half)
    }

    /// The value that the search ends with.
    #[inline(always)]
    pub const fn value(self) -> Option<u32> {
        if self.0 <= Self::MAX { Some(self.0) } else { None }
    }

    /// The cell of the node to go on to.
    #[inline(always)]
    pub const fn node(self) -> Option<u32> {
        if self.0 <= Self::MAX { None } else { Some(self.0 & Self::MAX) }
    }

    /// Whether the address's lower half is the key from there on.
    #[inline(always)]
    pub const fn is_lower(self) -> bool {
        self.0 & Self::LOWER != 0
    }
}

/// An index over the keys of an address's upper half: equal steps from the first key where anything changes, and a
/// node for each. Behind it, a key is its distance from the first step's first key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The first step's first key. Lower ones count as it.
    pub base: u64,
    /// A step spans 2 to this power keys; under 64.
    pub shift: u32,
    /// The last step's number. Its last key is the last one: higher ones count as it.
    pub last: u32,
    /// The cell where the nodes start, one for each step.
    pub nodes: u32,
}

impl Index {
    /// Packs the index.
    pub const fn to_cell(self) -> Cell {
        [self.base, pair(self.shift, self.nodes), self.span(), self.last as u64, 0, 0, 0, 0]
    }

    /// The distance of the last key.
    const fn span(&self) -> u64 {
        match (self.last as u64 + 1).checked_shl(self.shift) {
            Some(keys) if keys >> self.shift == self.last as u64 + 1 => keys - 1,
            _ => u64::MAX,
        }
    }

    /// Reads a packed index.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        let [base, steps, _, last, ..] = *cell;
        Self { base, shift: steps as u32 & 63, last: last as u32, nodes: (steps >> 32) as u32 }
    }

    /// The cell of the node that a key belongs to, and its distance, by a packed index.
    #[inline(always)]
    pub fn node(cell: &Cell, key: u64) -> (u32, u64) {
        let [base, steps, span, ..] = *cell;
        let distance = key.saturating_sub(base).min(span);
        (((steps >> 32) as u32).wrapping_add((distance >> (steps & 63)) as u32), distance)
    }
}

/// Keys in a node of a search tree; it has one child more.
pub const NODE_KEYS: usize = 5;

/// A node of a static search tree over disjoint ranges of keys, one cache line.
///
/// Key `i` is the last key of child `i`; the last child has no bound. Unused keys are the last used one again, and their
/// links that of the last child. No two keys are 2 to the power of 63 apart, nor is one that is looked up from them: so
/// the sign of a difference tells which is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The keys.
    pub keys: [u64; NODE_KEYS],
    /// The children.
    pub links: [u32; NODE_KEYS + 1],
}

impl Node {
    /// Packs a node.
    pub const fn to_cell(self) -> Cell {
        let [a, b, c, d, e] = self.keys;
        let [f, g, h, i, j, k] = self.links;
        [a, b, c, d, e, pair(f, g), pair(h, i), pair(j, k)]
    }

    /// The child that a key belongs to, in a packed node.
    ///
    /// Without a branch: with one, the verifier would walk 32 ways through each node, and the processor would guess
    /// wrong at most.
    #[inline(always)]
    pub fn child(cell: &Cell, key: u64) -> Option<Link> {
        let rank: u32 = cell.iter().take(NODE_KEYS).map(|last| (last.wrapping_sub(key) >> 63) as u32).sum();
        // The mask changes nothing; it tells the verifier that the lane is in the cell.
        let links = *cell.get(4 + (((rank + 2) / 2) & 3) as usize)?;
        Some(Link::from_half((links >> (rank % 2 * 32)) as u32))
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_what_the_maps_say() {
        assert_eq!(size_of::<Cell>(), 64);
        assert_eq!(size_of::<Page>(), 65_536);
    }

    #[test]
    fn header_survives_packing() {
        let header = Header {
            generation: u64::MAX - 1,
            udp_ports: 2,
            narrowed: u64::MAX,
            narrowings: u32::MAX,
            unparsed: 6,
            card: 7,
            card_bytes: 8,
            pages: 9,
        };
        assert_eq!(Header::from_cell(&header.to_cell()), header);
    }

    #[test]
    fn every_child_of_a_node_is_found() {
        for start in [0, 1 << 63, u64::MAX - 50] {
            let keys = [10, 20, 30, 40, 40].map(|key| start + key);
            let cell = Node { keys, links: [0, 1, 2, 3, 4, 4] }.to_cell();
            for (key, child) in [(0, 0), (10, 0), (11, 1), (21, 2), (40, 3), (41, 4), (50, 4)] {
                assert_eq!(Node::child(&cell, start + key), Some(Link::to_value(child)), "{start} + {key}");
            }
        }
    }

    #[test]
    fn links_survive_packing() {
        let facts = |link: Link| {
            let link = Link::from_half(link.to_half());
            (link.value(), link.node(), link.is_lower())
        };
        assert_eq!(facts(Link::to_value(Link::MAX)), (Some(Link::MAX), None, false));
        assert_eq!(facts(Link::to_node(Link::MAX)), (None, Some(Link::MAX), false));
        assert_eq!(facts(Link::to_node(0).by_lower_half()), (None, Some(0), true));
        assert_eq!(Link::to_value(7).by_lower_half(), Link::to_value(7));
    }

    #[test]
    fn keys_beyond_an_index_belong_to_its_ends() {
        let index = Index { base: 100, shift: 4, last: 2, nodes: 7 };
        let rows = [
            (0, 7, 0),
            (99, 7, 0),
            (115, 7, 15),
            (116, 8, 16),
            (132, 9, 32),
            (147, 9, 47),
            (u64::MAX, 9, 47),
        ];
        for (key, node, distance) in rows {
            assert_eq!(Index::node(&index.to_cell(), key), (node, distance), "{key}");
        }
        assert_eq!(Index::from_cell(&index.to_cell()), index);
        let widest = Index { base: 0, shift: 63, last: 1, nodes: 7 }.to_cell();
        assert_eq!(Index::node(&widest, u64::MAX), (8, u64::MAX));
    }
}
