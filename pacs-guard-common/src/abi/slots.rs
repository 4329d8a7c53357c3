//! Which slot is in force, and until when.

use super::{LANES_PER_CELL, SLOTS, Unprotected};

/// The only value of the map that names the slot in force: a cell for the slots, one for the [`Unprotected`] ports of
/// each, and one that stays 0: of a slot that is none, no port is sure.
pub type Active = [u64; ((1 + SLOTS + 1) * LANES_PER_CELL) as usize];

/// What the map of the slot in force says.
///
/// User space stores it whole, and the processors may see that store byte by byte. So a store changes one thing only:
/// either what is said of a slot that is not in use, or the number of the active slot, which is one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The slot that was put in force last.
    pub active: u32,
    /// The term of each slot.
    pub terms: [Term; SLOTS as usize],
    /// The ports that each slot's policy surely does not protect.
    pub unprotected: [Unprotected; SLOTS as usize],
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
    /// Packs it. The upper half of the first lane stays 0.
    pub fn to_lanes(self) -> Active {
        let [a, b, c] = self.terms;
        let [d, e, f] = [a, b, c].map(|term| u64::from(term.fallback));
        let ends = if self.term(self.active).end == 0 { 0 } else { ENDS };
        let slots = [u64::from(self.active) | ends, a.end, d, b.end, e, c.end, f, 0];
        let [u, v, w] = self.unprotected.map(Unprotected::to_cell);
        let mut lanes = [0; _];
        lanes.iter_mut().zip([slots, u, v, w].as_flattened()).for_each(|(lane, packed)| *lane = *packed);
        lanes
    }

    /// Reads the packed lanes.
    pub fn from_lanes(lanes: &Active) -> Self {
        let (cells, _) = lanes.as_chunks();
        let [[active, a, b, c, d, e, f, _], unprotected @ ..] = cells else { return Self::default() };
        let term = |(end, fallback): (&u64, &u64)| Term { end: *end, fallback: *fallback as u32 };
        let terms = [(a, b), (c, d), (e, f)].map(term);
        let cell = |slot| unprotected.get(slot).copied().map(Unprotected::from_cell).unwrap_or_default();
        Self { active: (active & !ENDS) as u32, terms, unprotected: [0, 1, 2].map(cell) }
    }

    /// Whether a TCP port is surely not protected in a slot, by the packed lanes.
    #[inline(always)]
    pub fn leaves_open(lanes: &Active, slot: u32, port: u16) -> bool {
        let (lane, bit) = Unprotected::place(port);
        // The mask tells the verifier what the slot can be.
        let cell = 1 + (slot as usize & 3);
        lanes.get(cell * LANES_PER_CELL as usize + lane).is_some_and(|lane| lane & bit != 0)
    }

    /// The term of a slot.
    pub fn term(&self, slot: u32) -> Term {
        self.terms.get(slot as usize).copied().unwrap_or_default()
    }

    /// The slot in force, by the packed lanes. The clock is asked only where the active slot has an end.
    #[inline(always)]
    pub fn in_force(lanes: &Active, now: impl FnOnce() -> u64) -> u32 {
        let [active, ..] = *lanes;
        if active & ENDS == 0 {
            return active as u32;
        }
        let active = active as u32 & 3;
        match lanes.get(1 + 2 * active as usize..) {
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
        assert_eq!(Slots::in_force(&slots.to_lanes(), || unreachable!("it has no end")), 2);
        for active in 0..SLOTS {
            slots.active = active;
            slots.unprotected = [104, 11_112, 4242].map(|port| Unprotected::but([port + active as u16]));
            slots.terms = [0, 1, 2].map(|slot| Term { end: 10 + slot, fallback: (slot as u32 + 1) % SLOTS });
            let lanes = slots.to_lanes();
            assert_eq!(Slots::from_lanes(&lanes), slots);
            let end = 10 + u64::from(active);
            assert_eq!(Slots::in_force(&lanes, || end - 1), active);
            assert_eq!(Slots::in_force(&lanes, || end), (active + 1) % SLOTS);
        }
    }
}
