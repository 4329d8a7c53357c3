//! The image of a policy: the exact contents of one generation.
//!
//! An image is a run of pages in one array map, and everything in it is found by a number: a page holds
//! [`CELLS_PER_PAGE`] cells, a cell is one cache line of [`LANES_PER_CELL`] lanes, a lane is a `u64`.
//!
//! ```text
//! page 0..16   TCP port table: a byte a port, 0 = not protected, else 1 + the service's number
//! page 16      header cell, then service cells, unparsed rulings, rulings, search trees,
//!              and the UDP port table where a service needs one
//! ```

/// Lanes in a cell.
pub const LANES_PER_CELL: u32 = 8;
/// Cells in a page.
pub const CELLS_PER_PAGE: u32 = 64;
/// One cache line.
pub type Cell = [u64; LANES_PER_CELL as usize];
/// One value of the array map: 4 KiB. Flat, for aya measures an array of arrays wrongly.
pub type Page = [u64; (CELLS_PER_PAGE * LANES_PER_CELL) as usize];

/// First lane of the TCP port table.
pub const TCP_PORTS: u32 = 0;
/// The header's cell: the first one behind the TCP port table.
pub const HEADER: u32 = 65_536 / 64;

/// The header: where the tables lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the generation, counted from 1 for as long as the maps live.
    pub generation: u64,
    /// First lane of the UDP port table; 0 where no service is protected on UDP.
    pub udp_ports: u32,
    /// Root node of the search tree over IPv4 sources.
    pub root4: u32,
    /// Root node of the search tree over IPv6 sources.
    pub root6: u32,
    /// First cell of the services.
    pub services: u32,
    /// First lane of the rulings on unparsed packets, one a cause, in the order of the causes.
    pub unparsed: u32,
    /// Cell where the card starts: text that names the policy, for user space only.
    pub card: u32,
    /// Length of the card in bytes.
    pub card_bytes: u32,
}

impl Header {
    /// Packs the header.
    pub const fn to_cell(self) -> Cell {
        [
            super::ABI_VERSION as u64,
            self.generation,
            self.udp_ports as u64,
            pair(self.root4, self.root6),
            pair(self.services, self.unparsed),
            pair(self.card, self.card_bytes),
            0,
            0,
        ]
    }

    /// Reads a packed header.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        let [_, generation, udp_ports, roots, tables, card, ..] = *cell;
        Self {
            generation,
            udp_ports: udp_ports as u32,
            root4: roots as u32,
            root6: (roots >> 32) as u32,
            services: tables as u32,
            unparsed: (tables >> 32) as u32,
            card: card as u32,
            card_bytes: (card >> 32) as u32,
        }
    }
}

/// What the kernel must know of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceCell {
    /// Protected towards every destination.
    Everywhere,
    /// Protected towards the destinations that these two search trees (IPv4, IPv6) lead to 1.
    Narrowed {
        /// Root node over IPv4 destinations.
        root4: u32,
        /// Root node over IPv6 destinations.
        root6: u32,
    },
}

impl ServiceCell {
    /// Packs the service.
    pub const fn to_cell(self) -> Cell {
        let roots = match self {
            Self::Everywhere => 0,
            Self::Narrowed { root4, root6 } => pair(root4, root6),
        };
        [roots, 0, 0, 0, 0, 0, 0, 0]
    }

    /// Reads a packed service. A root is never 0, for the TCP port table lies there.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        match cell[0] {
            0 => Self::Everywhere,
            roots => Self::Narrowed { root4: roots as u32, root6: (roots >> 32) as u32 },
        }
    }
}

/// In a value of an IPv6 tree: the low 32 bits are the root of a tree over the address's lower half.
pub const SUBTREE: u64 = 1 << 63;

/// Keys in a node of a search tree; it has one child more.
pub const NODE_KEYS: usize = 7;

/// A node of a static search tree over disjoint ranges of 64-bit keys, one cache line.
///
/// Key `i` is the last key of child `i`; the last child has no bound. Unused keys are `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The children are the nodes in the cells from this one on.
    Inner(u32),
    /// The children are values in the lanes from this one on.
    Leaf(u32),
}

impl Node {
    const LEAF: u64 = 1 << 63;

    /// Packs a node.
    pub const fn to_cell(self, keys: [u64; NODE_KEYS]) -> Cell {
        let link = match self {
            Self::Inner(cell) => cell as u64,
            Self::Leaf(lane) => lane as u64 | Self::LEAF,
        };
        let [a, b, c, d, e, f, g] = keys;
        [a, b, c, d, e, f, g, link]
    }

    /// Reads where a packed node's children lie.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        let [.., link] = *cell;
        if link & Self::LEAF == 0 { Self::Inner(link as u32) } else { Self::Leaf(link as u32) }
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
        assert_eq!(size_of::<Page>(), 4096);
    }

    #[test]
    fn header_survives_packing() {
        let header = Header {
            generation: u64::MAX - 1,
            udp_ports: 2,
            root4: 3,
            root6: u32::MAX,
            services: 5,
            unparsed: 6,
            card: 7,
            card_bytes: 8,
        };
        assert_eq!(Header::from_cell(&header.to_cell()), header);
    }
}
