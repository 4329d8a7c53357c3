//! An event: one refused packet, as it travels through the ring buffer.

use super::{CounterId, PackedRuling, Ruling};
use crate::{
    packet::{Address, Family, Packet},
    verdict::Reason,
};

/// One refused packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since boot, suspension included (`CLOCK_BOOTTIME`).
    pub time: u64,
    /// Index of the interface that the packet arrived on.
    pub interface: u32,
    /// The generation that refused it.
    pub generation: u64,
    /// What was known of the packet, save where its transport header starts; addresses of [`Family::None`] where it
    /// could not be parsed so far.
    pub packet: Packet,
    /// What was decided.
    pub ruling: Ruling,
}

impl Event {
    /// Lanes of a packed event.
    pub const LANES: usize = 8;

    /// Packs the event.
    #[inline(always)]
    pub const fn to_lanes(&self) -> [u64; Self::LANES] {
        let Self { time, interface, generation, packet, ruling } = self;
        Self::lanes(*time, *interface, *generation, packet, ruling.pack())
    }

    /// Packs an event whose ruling is packed already.
    #[inline(always)]
    pub const fn lanes(
        time: u64,
        interface: u32,
        generation: u64,
        packet: &Packet,
        ruling: PackedRuling,
    ) -> [u64; Self::LANES] {
        let Packet { source, destination, protocol, source_port, destination_port, .. } = *packet;
        [
            time,
            generation,
            source.high,
            source.low,
            destination.high,
            destination.low,
            (interface as u64) << 32 | (source_port as u64) << 16 | destination_port as u64,
            ruling.lane() | (source.family as u64) << 48 | (protocol as u64) << 56,
        ]
    }

    /// Reads a packed event; `None` where the bytes are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (lanes, rest) = bytes.as_chunks::<8>();
        let &[time, generation, source_high, source_low, high, low, ports, ruling] = lanes else {
            return None;
        };
        if !rest.is_empty() {
            return None;
        }
        let ports = u64::from_ne_bytes(ports);
        let last = u64::from_ne_bytes(ruling);
        let family = Family::from_code((last >> 48) as u8)?;
        let address =
            |high, low| Address { family, high: u64::from_ne_bytes(high), low: u64::from_ne_bytes(low) };
        let ruling = Ruling::from_lane(last)?;
        CounterId::new(ruling.counter.number())?;
        Some(Self {
            time: u64::from_ne_bytes(time),
            generation: u64::from_ne_bytes(generation),
            interface: (ports >> 32) as u32,
            packet: Packet {
                source: address(source_high, source_low),
                destination: address(high, low),
                protocol: (last >> 56) as u8,
                source_port: (ports >> 16) as u16,
                destination_port: ports as u16,
                transport_at: 0,
                source_routed: matches!(ruling.reason, Reason::Unparsed(crate::packet::Cause::SourceRoute)),
            },
            ruling,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;

    #[test]
    fn event_survives_packing() {
        let event = Event {
            time: 1,
            interface: 2,
            generation: 3,
            packet: Packet {
                source: Address { family: Family::V6, high: 4, low: 5 },
                destination: Address { family: Family::V6, high: 6, low: 7 },
                protocol: 6,
                source_port: 40_000,
                destination_port: 104,
                transport_at: 0,
                source_routed: false,
            },
            ruling: Ruling {
                verdict: Verdict::Drop,
                reason: Reason::NotInSegment,
                resets: true,
                counter: CounterId::FIRST_BOOKED,
            },
        };
        let mut bytes = [0; 64];
        for (slot, lane) in bytes.chunks_mut(8).zip(event.to_lanes()) {
            slot.copy_from_slice(&lane.to_ne_bytes());
        }
        assert_eq!(Event::from_bytes(&bytes), Some(event));
        assert_eq!(Event::from_bytes(&bytes[..56]), None);
    }
}
