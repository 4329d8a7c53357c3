//! A ruling: what user space decided beforehand for one kind of packet.

use super::CounterId;
use crate::verdict::{Reason, Verdict};

/// What happens to a packet, why, and where it is counted, packed in one lane.
///
/// Bits 0 to 31 hold the counter, 32 to 39 the verdict and 40 to 47 the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ruling {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Where it is counted.
    pub counter: CounterId,
}

impl Ruling {
    /// The ruling of a reason that needs no policy to be known.
    pub const fn pass(reason: Reason) -> Self {
        Self { verdict: Verdict::Pass, reason, counter: CounterId::of_pass(reason) }
    }

    /// Packs the ruling.
    pub const fn to_lane(self) -> u64 {
        self.counter.number() as u64 | (self.verdict as u64) << 32 | (self.reason.code() as u64) << 40
    }

    /// Reads a packed ruling; `None` where the lane holds none.
    pub const fn from_lane(lane: u64) -> Option<Self> {
        let (Some(verdict), Some(reason)) =
            (Verdict::from_code((lane >> 32) as u8), Reason::from_code((lane >> 40) as u8))
        else {
            return None;
        };
        Some(Self { verdict, reason, counter: CounterId::unpack(lane as u32) })
    }
}
