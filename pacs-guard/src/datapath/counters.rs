//! The counters, summed over all CPUs.

use aya::maps::{HashMap, IterableMap, MapData, PerCpuArray};
use pacs_guard_common::abi::{COUNTERS_PER_PAGE, CounterId, CounterPage};

use super::{Datapath, DatapathError, Pins, load::read_ledger, swap::open_pin};
use crate::image::{Booking, Ledger, Record};

/// A reading of every counter that can have counted a packet.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    ledger: Ledger,
    packets: Vec<u64>,
}

impl Counters {
    /// Reads the pinned counters, without the daemon; `None` where none are pinned.
    pub fn read(pins: &Pins) -> Result<Option<Self>, DatapathError> {
        let (Some(counters), Some(ledger)) = (open_pin(pins, "COUNTERS")?, open_pin(pins, "LEDGER")?) else {
            return Ok(None);
        };
        let ledger: HashMap<MapData, u32, Record> = ledger.try_into()?;
        Ok(Some(Self::sum(&counters.try_into()?, read_ledger(&ledger)?)?))
    }

    fn sum(map: &PerCpuArray<MapData, CounterPage>, ledger: Ledger) -> Result<Self, DatapathError> {
        let used = CounterId::FIRST_BOOKED.number() + ledger.len() as u32;
        let mut packets = Vec::new();
        for page in 0..used.div_ceil(COUNTERS_PER_PAGE) {
            let mut sum = [0; COUNTERS_PER_PAGE as usize];
            for cpu in map.get(&page, 0)?.iter() {
                sum.iter_mut().zip(cpu).for_each(|(sum, packets)| *sum += packets);
            }
            packets.extend(sum);
        }
        Ok(Self { ledger, packets })
    }

    /// What the counters count.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The packets of one counter.
    pub fn packets(&self, counter: CounterId) -> u64 {
        self.packets.get(counter.number() as usize).copied().unwrap_or(0)
    }

    /// Every counter with what it counts, in the order of [`Ledger::counters`]; the ones at zero too.
    pub fn entries(&self) -> impl Iterator<Item = (CounterId, Booking, u64)> {
        self.ledger.counters().map(|(counter, booking)| (counter, booking, self.packets(counter)))
    }

    /// Every packet that the program has seen.
    pub fn total(&self) -> u64 {
        self.entries().map(|(_, _, packets)| packets).sum()
    }
}

impl Datapath {
    /// The kernel's number of the map of counters: another one as soon as the counts begin anew.
    pub fn counters_number(&self) -> Result<u32, DatapathError> {
        Ok(self.counters.map().info()?.id())
    }

    /// Reads every counter.
    pub fn counters(&self) -> Result<Counters, DatapathError> {
        Counters::sum(&self.counters, self.ledger.clone())
    }
}
