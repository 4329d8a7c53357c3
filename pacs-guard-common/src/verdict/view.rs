//! The look-ups in a policy's image.

use crate::{
    abi::{
        CELLS_PER_PAGE, Cell, HEADER, Header, Index, LANES_PER_CELL, MAX_TIMED, Node, PackedRuling, Page,
        SOURCES, TimedRuling,
    },
    packet::{Address, Cause, Family},
};

/// Nodes on the way to a value at most: nine levels of six children tell ten million ranges apart, once for
/// each half of an address.
const MAX_NODES: u32 = 18;

/// One whole policy, as pages. Every look-up answers `None` where the image is broken or absent.
pub trait PolicyView {
    /// The page with this index.
    fn page(&self, index: u32) -> Option<&Page>;

    /// Nanoseconds since boot (`CLOCK_BOOTTIME`). Asked only where a ruling ends by itself.
    fn now(&self) -> u64;

    /// The cell with this number.
    #[inline(always)]
    fn cell(&self, at: u32) -> Option<&Cell> {
        let (cells, _) = self.page(at / CELLS_PER_PAGE)?.as_chunks();
        cells.get((at % CELLS_PER_PAGE) as usize)
    }

    /// The lane with this number.
    #[inline(always)]
    fn lane(&self, at: u32) -> Option<u64> {
        self.cell(at / LANES_PER_CELL)?.get((at % LANES_PER_CELL) as usize).copied()
    }

    /// The header.
    #[inline(always)]
    fn header(&self) -> Option<Header> {
        Some(Header::from_cell(self.cell(HEADER)?))
    }

    /// The entry of a port in the port table that starts at a lane: its column in a row of rulings plus one, or 0.
    #[inline(always)]
    fn port_service(&self, table: u32, port: u16) -> Option<u32> {
        let lane = self.lane(table.wrapping_add(port as u32 / 8))?;
        Some((lane >> (port as u32 % 8 * 8)) as u32 & 0xff)
    }

    /// Whether what a column rules on is protected towards a destination.
    #[inline(always)]
    fn covers(&self, header: &Header, column: u32, destination: impl Fn() -> Address) -> Option<bool> {
        if header.narrowed >> (column & 63) & 1 == 0 {
            return Some(true);
        }
        let destination = destination();
        let cell = header.narrowings.wrapping_add(2 * column).wrapping_add(by_family(destination)?);
        Some(self.search(self.cell(cell)?, destination)? != 0)
    }

    /// What a column rules on a source; `goes_on` says whether it is in a connection already.
    #[inline(always)]
    fn ruling(&self, source: Address, column: u32, goes_on: impl Fn() -> bool) -> Option<PackedRuling> {
        let row = self.search(self.cell(SOURCES + by_family(source)?)?, source)?;
        let lane = self.lane(row.wrapping_add(column))?;
        let timed = lane & TimedRuling::FLAG != 0;
        Some(PackedRuling::new(if timed { self.ruled_now(lane, goes_on)? } else { lane }))
    }

    /// The lane that counts now, of those that a lane with the flag leads to.
    #[inline(always)]
    fn ruled_now(&self, timed: u64, goes_on: impl Fn() -> bool) -> Option<u64> {
        let now = self.now();
        let mut lane = timed;
        let mut ongoing = timed;
        for _ in 0..MAX_TIMED {
            let timed = TimedRuling::from_cell(self.cell(lane as u32)?);
            if now < timed.end {
                (lane, ongoing) = (timed.opening, timed.ongoing);
                break;
            }
            (lane, ongoing) = (timed.then, timed.then);
            if lane & TimedRuling::FLAG == 0 {
                break;
            }
        }
        let lane = if lane != ongoing && goes_on() { ongoing } else { lane };
        (lane & TimedRuling::FLAG == 0).then_some(lane)
    }

    /// What is ruled for packets that could not be parsed.
    #[inline(always)]
    fn unparsed(&self, header: &Header, cause: Cause) -> Option<PackedRuling> {
        Some(PackedRuling::new(self.lane(header.unparsed.wrapping_add(cause as u32))?))
    }

    /// The value of the range that an address lies in, by a packed index.
    #[inline(always)]
    fn search(&self, index: &Cell, address: Address) -> Option<u32> {
        let (mut node, mut key) = Index::node(index, address.high);
        for _ in 0..MAX_NODES {
            let link = Node::child(self.cell(node)?, key)?;
            let Some(next) = link.node() else { return link.value() };
            node = next;
            if link.is_lower() {
                node = node.wrapping_add((address.low >> 63) as u32);
                key = address.low << 1 >> 1;
            }
        }
        None
    }
}

/// IPv4 comes first in every pair of tables.
#[inline(always)]
const fn by_family(address: Address) -> Option<u32> {
    match address.family {
        Family::V4 => Some(0),
        Family::V6 => Some(1),
        Family::None => None,
    }
}
