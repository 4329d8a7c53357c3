//! Ports that are surely not protected: most packets need not know more.

use super::{Cell, LANES_PER_CELL};

/// A bit for each 512th TCP port, set where none of them is protected.
///
/// So a port whose bit is clear may be protected or not, and of a cell that was never written nothing is sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unprotected(Cell);

impl Unprotected {
    /// What is sure where these ports are protected.
    pub fn but(ports: impl IntoIterator<Item = u16>) -> Self {
        let mut cell = [u64::MAX; _];
        for port in ports {
            let (lane, bit) = Self::place(port);
            if let Some(lane) = cell.get_mut(lane) {
                *lane &= !bit;
            }
        }
        Self(cell)
    }

    /// Packs it.
    pub const fn to_cell(self) -> Cell {
        self.0
    }

    /// Reads a packed one.
    pub const fn from_cell(cell: Cell) -> Self {
        Self(cell)
    }

    /// The lane of a port, and its bit there.
    #[inline(always)]
    pub(super) const fn place(port: u16) -> (usize, u64) {
        ((port as u32 / u64::BITS % LANES_PER_CELL) as usize, 1 << (port % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Slots;

    fn holds(unprotected: Unprotected, port: u16) -> bool {
        let slots = Slots {
            unprotected: [Unprotected::default(), unprotected, Unprotected::but([])],
            ..Slots::default()
        };
        Slots::leaves_open(&slots.to_lanes(), 1, port)
    }

    #[test]
    fn no_protected_port_is_held() {
        for protected in 0..=u16::MAX {
            assert!(!holds(Unprotected::but([protected, 104]), protected), "{protected}");
        }
        let unsure = (0..=u16::MAX).filter(|port| !holds(Unprotected::but([104, 11_112]), *port)).count();
        assert_eq!(unsure, 2 * 65_536 / 512);
        assert!(holds(Unprotected::but([]), 104));
    }

    #[test]
    fn of_nothing_written_nothing_is_sure() {
        assert!((0..=u16::MAX).all(|port| !holds(Unprotected::default(), port)));
        let all = Slots { unprotected: [Unprotected::but([]); _], ..Slots::default() }.to_lanes();
        assert!((0..=u16::MAX).all(|port| !Slots::leaves_open(&all, 3, port)), "a slot that is none");
    }
}
