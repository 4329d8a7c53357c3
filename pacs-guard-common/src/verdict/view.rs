//! The look-ups in a policy's image.

use crate::{
    abi::{
        CELLS_PER_PAGE, Cell, HEADER, Header, LANES_PER_CELL, MAX_TIMED, NODE_KEYS, Node, Page, Ruling,
        SUBTREE, ServiceCell, TimedRuling,
    },
    packet::{Address, Cause, Family},
};

/// Nodes between a root and a value at most: eight levels of eight children tell 16 million ranges apart.
const MAX_DEPTH: u32 = 8;

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

    /// The entry of a port in the port table that starts at a lane: the service's number plus one, or 0.
    #[inline(always)]
    fn port_service(&self, table: u32, port: u16) -> Option<u32> {
        let lane = self.lane(table.wrapping_add(port as u32 / 8))?;
        Some((lane >> (port as u32 % 8 * 8)) as u32 & 0xff)
    }

    /// Whether a service is protected towards a destination.
    #[inline(always)]
    fn covers(&self, header: &Header, service: u32, destination: Address) -> Option<bool> {
        Some(match ServiceCell::from_cell(self.cell(header.services.wrapping_add(service))?) {
            ServiceCell::Everywhere => true,
            ServiceCell::Narrowed { root4, root6 } => self.search(root4, root6, destination)? != 0,
        })
    }

    /// What is ruled for a source that asks for a service; `goes_on` says whether it is in a connection already.
    #[inline(always)]
    fn ruling(
        &self,
        header: &Header,
        source: Address,
        service: u32,
        goes_on: impl Fn() -> bool,
    ) -> Option<Ruling> {
        let row = self.search(header.root4, header.root6, source)?;
        let lane = self.lane((row as u32).wrapping_add(service))?;
        Ruling::from_lane(if lane & TimedRuling::FLAG == 0 { lane } else { self.ruled_now(lane, goes_on)? })
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
    fn unparsed(&self, header: &Header, cause: Cause) -> Option<Ruling> {
        Ruling::from_lane(self.lane(header.unparsed.wrapping_add(cause as u32))?)
    }

    /// The value of the range that an address lies in.
    #[inline(always)]
    fn search(&self, root4: u32, root6: u32, address: Address) -> Option<u64> {
        let root = match address.family {
            Family::V4 => root4,
            Family::V6 => root6,
            Family::None => return None,
        };
        let value = self.descend(root, address.high)?;
        if value & SUBTREE == 0 { Some(value) } else { self.descend(value as u32, address.low) }
    }

    /// Walks one search tree from its root to the value of the range that a key lies in.
    #[inline(always)]
    fn descend(&self, root: u32, key: u64) -> Option<u64> {
        let mut at = root;
        for _ in 0..MAX_DEPTH {
            let node = self.cell(at)?;
            let child = rank(node, key);
            match Node::from_cell(node) {
                Node::Inner(first) => at = first.wrapping_add(child),
                Node::Leaf(first) => return self.lane(first.wrapping_add(child)),
            }
        }
        None
    }
}

/// Which child of a node a key belongs to: as many as there are keys below it.
///
/// Without a branch: with one, the verifier would walk 128 ways through each node.
#[inline(always)]
fn rank(node: &Cell, key: u64) -> u32 {
    node.iter().take(NODE_KEYS).map(|&last| below(last, key)).sum()
}

/// 1 where `a < b`, else 0: the borrow of `a - b` (Warren, Hacker's Delight, section 2-13).
#[inline(always)]
const fn below(a: u64, b: u64) -> u32 {
    (((!a & b) | ((!a | b) & a.wrapping_sub(b))) >> 63) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_less_than() {
        let edges = [0, 1, 2, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        for a in edges {
            for b in edges {
                assert_eq!(below(a, b), u32::from(a < b), "{a} < {b}");
            }
        }
    }
}
