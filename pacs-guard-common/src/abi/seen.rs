//! A source lately seen: the key and the value of the two maps that keep them.

use super::{PackedRuling, Ruling};
use crate::packet::{Address, Family};

/// Sources that each of the two maps keeps. The one that was seen longest ago goes first, roughly: the kernel
/// evicts in batches, and each CPU may hold a few free entries of its own.
pub const SEEN_ENTRIES: u32 = 16_384;

/// A source, and what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenKey {
    /// Source address.
    pub source: Address,
    /// Destination port; 0 where it could not be read.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl SeenKey {
    /// Lanes of a packed key.
    pub const LANES: usize = 3;

    /// Packs the key: the address, then the port, the protocol and the family in one lane.
    #[inline(always)]
    pub const fn to_lanes(self) -> [u64; Self::LANES] {
        let Address { family, high, low } = self.source;
        [high, low, self.port as u64 | (self.protocol as u64) << 16 | (family as u64) << 24]
    }

    /// Reads a packed key; `None` where the lanes are not one.
    pub const fn from_lanes([high, low, last]: [u64; Self::LANES]) -> Option<Self> {
        let Some(family) = Family::from_code((last >> 24) as u8) else { return None };
        let source = Address { family, high, low };
        Some(Self { source, port: last as u16, protocol: (last >> 16) as u8 })
    }
}

/// When a source was seen, how often, and what it got last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenValue {
    /// The first time since the entry was made, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub first: u64,
    /// The last time, on the same clock.
    pub last: u64,
    /// What was begun: TCP packets with SYN and without ACK; of other protocols, every packet that was
    /// recorded. Two CPUs at once may count one.
    pub connections: u64,
    /// What was ruled the last time.
    pub ruling: Ruling,
}

impl SeenValue {
    /// Lanes of a packed value.
    pub const LANES: usize = 4;

    /// Packs the value.
    #[inline(always)]
    pub const fn to_lanes(self) -> [u64; Self::LANES] {
        Self::lanes(self.first, self.last, self.connections, self.ruling.pack())
    }

    /// Packs a value whose ruling is packed already.
    #[inline(always)]
    pub const fn lanes(first: u64, last: u64, connections: u64, ruling: PackedRuling) -> [u64; Self::LANES] {
        [first, last, connections, ruling.lane()]
    }

    /// Reads a packed value; `None` where the lanes are not one.
    pub const fn from_lanes([first, last, connections, ruling]: [u64; Self::LANES]) -> Option<Self> {
        let Some(ruling) = Ruling::from_lane(ruling) else { return None };
        Some(Self { first, last, connections, ruling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        abi::CounterId,
        verdict::{Reason, Verdict},
    };

    #[test]
    fn keys_and_values_survive_packing() {
        let source = Address { family: Family::V6, high: 1, low: 2 };
        let key = SeenKey { source, port: 0xfffe, protocol: 17 };
        assert_eq!(SeenKey::from_lanes(key.to_lanes()), Some(key));
        assert_eq!(SeenKey::from_lanes([0, 0, 9 << 24]), None, "there is no such family");
        let ruling = Ruling {
            verdict: Verdict::WouldDrop,
            reason: Reason::NotInSegment,
            resets: false,
            counter: CounterId::FIRST_BOOKED,
        };
        let value = SeenValue { first: 1, last: 2, connections: 3, ruling };
        assert_eq!(SeenValue::from_lanes(value.to_lanes()), Some(value));
    }
}
