//! A ruling: what user space decided beforehand for one kind of packet, for good or until a time.

use super::{Cell, CounterId};
use crate::verdict::{Reason, Verdict};

/// What happens to a packet, why, and where it is counted, packed in one lane.
///
/// Bits 0 to 31 hold the counter, 32 to 38 the verdict, 39 whether a reset answers it, 40 to 47 the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ruling {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Whether a dropped SYN is answered with a TCP RST.
    pub resets: bool,
    /// Where it is counted.
    pub counter: CounterId,
}

impl Ruling {
    const RESETS: u64 = 1 << 39;

    /// The ruling of a reason that needs no policy to be known.
    #[inline(always)]
    pub const fn pass(reason: Reason) -> Self {
        Self { verdict: Verdict::Pass, reason, resets: false, counter: CounterId::of_pass(reason) }
    }

    /// Packs the ruling.
    #[inline(always)]
    pub const fn pack(self) -> PackedRuling {
        PackedRuling(self.to_lane())
    }

    /// Packs the ruling in a lane.
    #[inline(always)]
    pub const fn to_lane(self) -> u64 {
        let resets = if self.resets { Self::RESETS } else { 0 };
        self.counter.number() as u64
            | (self.verdict as u64) << 32
            | resets
            | (self.reason.code() as u64) << 40
    }

    /// Reads a packed ruling; `None` where the lane holds none.
    #[inline(always)]
    pub const fn from_lane(lane: u64) -> Option<Self> {
        let (Some(verdict), Some(reason)) =
            (Verdict::from_code((lane >> 32) as u8 & 0x7f), Reason::from_code((lane >> 40) as u8))
        else {
            return None;
        };
        let resets = lane & Self::RESETS != 0;
        Some(Self { verdict, reason, resets, counter: CounterId::unpack(lane as u32) })
    }
}

/// A ruling as it lies in an image, read only as far as it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedRuling(u64);

impl PackedRuling {
    /// Takes the lane.
    #[inline(always)]
    pub const fn new(lane: u64) -> Self {
        Self(lane)
    }

    /// The lane.
    #[inline(always)]
    pub const fn lane(self) -> u64 {
        self.0
    }

    /// The whole ruling; `None` where the lane holds none.
    pub const fn unpack(self) -> Option<Ruling> {
        Ruling::from_lane(self.0)
    }

    /// What happens to the packet.
    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        match self.0 >> 32 & 3 {
            0 => Verdict::Pass,
            1 => Verdict::Allow,
            2 => Verdict::Drop,
            _ => Verdict::WouldDrop,
        }
    }

    /// The number of the reason.
    #[inline(always)]
    pub const fn reason_code(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// Whether a dropped SYN is answered with a TCP RST.
    #[inline(always)]
    pub const fn resets(self) -> bool {
        self.0 & Ruling::RESETS != 0
    }

    /// Where it is counted.
    #[inline(always)]
    pub const fn counter(self) -> CounterId {
        CounterId::unpack(self.0 as u32)
    }
}

/// What is ruled until a time, and what from then on: a cell of its own, which a lane names in a ruling's place.
///
/// A lane with [`TimedRuling::FLAG`] holds the number of the cell in its lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimedRuling {
    /// When it ends, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub end: u64,
    /// The ruling on packets of TCP connections that are there already, as a lane.
    pub ongoing: u64,
    /// The ruling on every other packet, as a lane.
    pub opening: u64,
    /// What is ruled from then on: a lane, with or without the flag.
    pub then: u64,
}

impl TimedRuling {
    /// Set in a lane that names a timed ruling, and in no ruling's own.
    pub const FLAG: u64 = 1 << 63;

    /// Packs it.
    pub const fn to_cell(self) -> Cell {
        [self.end, self.ongoing, self.opening, self.then, 0, 0, 0, 0]
    }

    /// Reads a packed one.
    #[inline(always)]
    pub const fn from_cell(cell: &Cell) -> Self {
        let [end, ongoing, opening, then, ..] = *cell;
        Self { end, ongoing, opening, then }
    }
}

/// Timed rulings in a row at most: what one source is ruled for one service changes so often by itself.
pub const MAX_TIMED: u32 = 8;
