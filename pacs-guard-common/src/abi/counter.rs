//! Which counter a packet is booked on.

use crate::{
    packet::Cause,
    verdict::{Reason, Verdict},
};

/// Counters in one value of the per-CPU array: a kilobyte, so that reading them all is few system calls.
pub const COUNTERS_PER_PAGE: u32 = 128;

/// Pages of counters: room for 32,768, at 256 KiB per CPU.
pub const COUNTER_PAGES: u32 = 256;

/// One value of the per-CPU array of counters; each counts packets since the map was made.
pub type CounterPage = [u64; COUNTERS_PER_PAGE as usize];

/// The number of a counter. It is stable: numbers under [`CounterId::FIRST_BOOKED`] are fixed here, and the
/// others are given out by user space, each to one triple of segment, service and outcome, for as long as
/// the maps live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(u32);

impl CounterId {
    /// Events left out because their source, or all sources together, had spent the second's budget.
    pub const EVENTS_SUPPRESSED: Self = Self(8);
    /// Events lost because the ring was full.
    pub const EVENTS_LOST: Self = Self(9);
    /// Refused connections that were answered with a TCP RST.
    pub const RESETS_SENT: Self = Self(10);
    /// Refused connections that would have been answered, had the second's budget of resets not been spent.
    pub const RESETS_SUPPRESSED: Self = Self(11);
    /// Packets that a bypass let in, of sources outside every segment, where no counter was left for their service.
    pub const BYPASSED_STRANGERS: Self = Self(12);
    /// Packets that a bypass let in, of sources that a segment holds, where no counter was left for their service.
    pub const BYPASSED_MEMBERS: Self = Self(13);
    /// The first number that user space gives out.
    pub const FIRST_BOOKED: Self = Self(64);
    /// One more than the last number.
    pub const END: Self = Self(COUNTER_PAGES * COUNTERS_PER_PAGE);

    const FIRST_UNPARSED: u32 = 16;

    /// The counter with this number, which must lie under [`CounterId::END`].
    pub const fn new(number: u32) -> Option<Self> {
        if number < Self::END.0 { Some(Self(number)) } else { None }
    }

    /// Takes a number that was packed by [`super::Ruling`]; the map look-up bounds it again.
    #[inline(always)]
    pub(crate) const fn unpack(number: u32) -> Self {
        Self(number)
    }

    /// The counter of a reason that needs no policy to be known. Those reasons always pass.
    #[inline(always)]
    pub const fn of_pass(reason: Reason) -> Self {
        Self(reason.code() as u32)
    }

    /// The counter of an unparsed packet that was treated so.
    pub const fn of_unparsed(cause: Cause, verdict: Verdict) -> Self {
        let treatment = match verdict {
            Verdict::Pass | Verdict::Allow => 0,
            Verdict::Drop => 1,
            Verdict::WouldDrop => 2,
        };
        Self(Self::FIRST_UNPARSED + cause as u32 * 3 + treatment)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The index of the page that holds the counter, and the counter's place in it.
    #[inline(always)]
    pub const fn place(self) -> (u32, usize) {
        (self.0 / COUNTERS_PER_PAGE, (self.0 % COUNTERS_PER_PAGE) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_counters_are_apart_and_under_the_booked_ones() {
        let mut seen = [false; CounterId::FIRST_BOOKED.0 as usize];
        let mut claim = |id: CounterId| {
            let slot = &mut seen[id.0 as usize];
            assert!(!*slot, "{id:?} is claimed twice");
            *slot = true;
        };
        for reason in Reason::PASSES {
            claim(CounterId::of_pass(reason));
        }
        for cause in Cause::ALL {
            for verdict in [Verdict::Pass, Verdict::Drop, Verdict::WouldDrop] {
                claim(CounterId::of_unparsed(cause, verdict));
            }
        }
        claim(CounterId::EVENTS_SUPPRESSED);
        claim(CounterId::EVENTS_LOST);
        claim(CounterId::RESETS_SENT);
        claim(CounterId::RESETS_SUPPRESSED);
        claim(CounterId::BYPASSED_STRANGERS);
        claim(CounterId::BYPASSED_MEMBERS);
    }
}
