//! The ledger: which counter is booked for which segment, service and outcome.

use std::{collections::HashMap, sync::Arc};

use pacs_guard_common::{
    abi::CounterId,
    packet::Cause,
    verdict::{Reason, Verdict},
};
use thiserror::Error;

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Booking {
    /// The segment that the packet's source lies in, the most specific one that decides.
    pub segment: Option<Arc<str>>,
    /// The protected service that the packet asks for.
    pub service: Option<Arc<str>>,
    /// Why the packet was treated so.
    pub reason: Reason,
    /// What happened to it.
    pub verdict: Verdict,
}

impl Booking {
    const fn fixed(reason: Reason, verdict: Verdict) -> Self {
        Self { segment: None, service: None, reason, verdict }
    }
}

/// One entry as the pinned map holds it: two names of at most 63 bytes, each behind its length, then the
/// reason and the verdict. A length of 255 means that there is no name.
pub type Record = [u8; Ledger::RECORD_BYTES];

/// Gives every outcome a counter of its own and never takes it back, so that counters only grow.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    bookings: Vec<Booking>,
    counters: HashMap<Booking, CounterId>,
}

/// Every counter is taken.
#[derive(Debug, Error)]
#[error(
    "the policy needs more than {} counters, one for each segment, service and outcome: \
     name fewer services in one policy, or join segments that are granted the same",
    CounterId::END.number()
)]
pub struct LedgerFull;

impl Ledger {
    /// Bytes of a record.
    pub const RECORD_BYTES: usize = 130;
    const NO_NAME: u8 = 255;
    const SHARED: [(CounterId, Booking); 2] = [
        (CounterId::BYPASSED_STRANGERS, Booking::fixed(Reason::NotInSegment, Verdict::WouldDrop)),
        (CounterId::BYPASSED_MEMBERS, Booking::fixed(Reason::ServiceNotAllowed, Verdict::WouldDrop)),
    ];

    /// The counter of an outcome; a new one where it has none yet.
    pub fn book(&mut self, booking: Booking) -> Result<CounterId, LedgerFull> {
        if let Some(counter) = self.counters.get(&booking) {
            return Ok(*counter);
        }
        let number = CounterId::FIRST_BOOKED.number() as usize + self.bookings.len();
        let counter = u32::try_from(number).ok().and_then(CounterId::new).ok_or(LedgerFull)?;
        self.bookings.push(booking.clone());
        self.counters.insert(booking, counter);
        Ok(counter)
    }

    /// The counter that every service shares for an outcome of a bypass, where it has one.
    pub fn shared(booking: &Booking) -> Option<CounterId> {
        let shared =
            |(_, other): &(_, Booking)| (other.reason, other.verdict) == (booking.reason, booking.verdict);
        Self::SHARED.iter().find(|entry| shared(entry)).map(|(counter, _)| *counter)
    }

    /// Every counter that can ever have counted a packet: the fixed ones first, and the shared ones last.
    pub fn counters(&self) -> impl Iterator<Item = (CounterId, Booking)> {
        let passes =
            Reason::PASSES.map(|reason| (CounterId::of_pass(reason), Booking::fixed(reason, Verdict::Pass)));
        let unparsed = Cause::ALL.into_iter().flat_map(|cause| {
            [Verdict::Pass, Verdict::Drop, Verdict::WouldDrop].map(|verdict| {
                let booking = Booking::fixed(Reason::Unparsed(cause), verdict);
                (CounterId::of_unparsed(cause, verdict), booking)
            })
        });
        passes.into_iter().chain(unparsed).chain(self.booked()).chain(Self::SHARED)
    }

    /// What a counter counts.
    pub fn booking(&self, counter: CounterId) -> Option<Booking> {
        match counter.number().checked_sub(CounterId::FIRST_BOOKED.number()) {
            Some(index) => self.bookings.get(index as usize).cloned(),
            None => self.counters().find(|(id, _)| *id == counter).map(|(_, booking)| booking),
        }
    }

    fn booked(&self) -> impl Iterator<Item = (CounterId, Booking)> {
        let ids = (CounterId::FIRST_BOOKED.number()..).map_while(CounterId::new);
        ids.zip(self.bookings.iter().cloned())
    }

    /// The records from the one with this index on, in the order of their counters.
    pub fn records(&self, from: usize) -> impl Iterator<Item = (u32, Record)> {
        self.bookings.iter().enumerate().skip(from).map(|(index, booking)| (index as u32, record(booking)))
    }

    /// How many counters are booked.
    pub fn len(&self) -> usize {
        self.bookings.len()
    }

    /// Whether no counter is booked.
    pub fn is_empty(&self) -> bool {
        self.bookings.is_empty()
    }

    /// Reads records back; `None` where one is broken.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Option<Self> {
        let mut ledger = Self::default();
        for record in records {
            ledger.book(read(&record)?).ok()?;
        }
        Some(ledger)
    }
}

fn record(booking: &Booking) -> Record {
    let mut record = [0; Ledger::RECORD_BYTES];
    let (names, outcome) = record.split_at_mut(128);
    for (slot, name) in names.chunks_mut(64).zip([&booking.segment, &booking.service]) {
        let [length, text @ ..] = slot else { continue };
        match name {
            None => *length = Ledger::NO_NAME,
            Some(name) => {
                *length = name.len().min(63) as u8;
                text.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
            }
        }
    }
    outcome.copy_from_slice(&[booking.reason.code(), booking.verdict as u8]);
    record
}

fn read(record: &Record) -> Option<Booking> {
    let name = |slot: &[u8]| match slot {
        [Ledger::NO_NAME, ..] => Some(None),
        [length, text @ ..] => {
            Some(Some(Arc::from(std::str::from_utf8(text.get(..usize::from(*length))?).ok()?)))
        }
        [] => None,
    };
    Some(Booking {
        segment: name(record.get(..64)?)?,
        service: name(record.get(64..128)?)?,
        reason: Reason::from_code(*record.get(128)?)?,
        verdict: Verdict::from_code(*record.get(129)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booking(segment: Option<&str>, service: &str) -> Booking {
        Booking {
            segment: segment.map(Arc::from),
            service: Some(Arc::from(service)),
            reason: Reason::NotInSegment,
            verdict: Verdict::Drop,
        }
    }

    #[test]
    fn a_booking_keeps_its_counter() {
        let mut ledger = Ledger::default();
        let first = ledger.book(booking(None, "dicom")).unwrap();
        let second = ledger.book(booking(Some("viewers"), "dicom")).unwrap();
        assert_ne!(first, second);
        assert_eq!(ledger.book(booking(None, "dicom")).unwrap(), first);
        assert_eq!(ledger.booking(second), Some(booking(Some("viewers"), "dicom")));
    }

    #[test]
    fn records_read_back() {
        let mut ledger = Ledger::default();
        ledger.book(booking(None, "dicom")).unwrap();
        ledger.book(booking(Some(&"x".repeat(63)), &"y".repeat(63))).unwrap();
        let again = Ledger::from_records(ledger.records(0).map(|(_, record)| record)).unwrap();
        assert_eq!(again.bookings, ledger.bookings);
    }

    #[test]
    fn a_broken_record_is_refused() {
        assert!(Ledger::from_records([[7; Ledger::RECORD_BYTES]]).is_none());
    }

    #[test]
    fn the_last_counter_is_the_last() {
        let mut ledger = Ledger::default();
        for n in CounterId::FIRST_BOOKED.number()..CounterId::END.number() {
            ledger.book(booking(Some(&n.to_string()), "dicom")).unwrap();
        }
        assert!(ledger.book(booking(None, "one-too-many")).is_err());
    }
}
