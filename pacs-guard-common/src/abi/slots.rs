//! Which slot is in force, and until when.

use super::{Cell, SLOTS};

/// The cell that names the slot in force: one cache line, and the only value of its map.
///
/// User space stores it whole, and the processors may see that store byte by byte. So a store changes one thing only:
/// either the term of a slot that is not in use, or the number of the active slot, which is one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The slot that was put in force last.
    pub active: u32,
    /// The term of each slot.
    pub terms: [Term; SLOTS as usize],
}

/// When a slot ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// Nanoseconds since boot (`CLOCK_BOOTTIME`), 0 for never.
    pub end: u64,
    /// The slot that is in force from then on.
    pub fallback: u32,
}

/// Set beside the active slot's number where that slot has an end.
const ENDS: u64 = 0x80;

impl Slots {
    /// Packs the cell. The upper half of its first lane stays 0.
    pub fn to_cell(self) -> Cell {
        let [a, b, c] = self.terms;
        let [d, e, f] = [a, b, c].map(|term| u64::from(term.fallback));
        let ends = if self.term(self.active).end == 0 { 0 } else { ENDS };
        [u64::from(self.active) | ends, a.end, d, b.end, e, c.end, f, 0]
    }

    /// Reads a packed cell.
    pub const fn from_cell(cell: &Cell) -> Self {
        let [active, a, b, c, d, e, f, _] = *cell;
        let terms = [
            Term { end: a, fallback: b as u32 },
            Term { end: c, fallback: d as u32 },
            Term { end: e, fallback: f as u32 },
        ];
        Self { active: (active & !ENDS) as u32, terms }
    }

    /// The term of a slot.
    pub fn term(&self, slot: u32) -> Term {
        self.terms.get(slot as usize).copied().unwrap_or_default()
    }

    /// The slot in force, by a packed cell. The clock is asked only where the active slot has an end.
    #[inline(always)]
    pub fn in_force(cell: &Cell, now: impl FnOnce() -> u64) -> u32 {
        let [active, ..] = *cell;
        if active & ENDS == 0 {
            return active as u32;
        }
        let active = active as u32 & 3;
        match cell.get(1 + 2 * active as usize..) {
            Some([end, fallback, ..]) if *end <= now() => *fallback as u32,
            _ => active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_in_force_until_its_end() {
        let mut slots = Slots { active: 2, ..Slots::default() };
        assert_eq!(Slots::in_force(&slots.to_cell(), || unreachable!("it has no end")), 2);
        for active in 0..SLOTS {
            slots.active = active;
            slots.terms = [0, 1, 2].map(|slot| Term { end: 10 + slot, fallback: (slot as u32 + 1) % SLOTS });
            let cell = slots.to_cell();
            assert_eq!(Slots::from_cell(&cell), slots);
            let end = 10 + u64::from(active);
            assert_eq!(Slots::in_force(&cell, || end - 1), active);
            assert_eq!(Slots::in_force(&cell, || end), (active + 1) % SLOTS);
        }
    }
}
