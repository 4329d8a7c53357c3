//! A source lately seen, in words: what the kernel keeps of it, with times of the wall clock and names of the ledger.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    datapath::{BootTime, Counters, DatapathError, Pins, Seen},
    image::Ledger,
};

/// A source lately seen on one port, for people and machines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenRecord {
    /// Its address.
    pub source: IpAddr,
    /// The port that it asked for; 0 where that could not be read.
    pub port: u16,
    /// IP protocol number: 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// The service on that port.
    pub service: Option<Arc<str>>,
    /// The segment that it is booked on.
    pub segment: Option<Arc<str>>,
    /// When it was seen first, since it is kept.
    pub first: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// TCP connections that it began, or tried to; of other protocols, the packets that were recorded.
    pub connections: u64,
    /// What it got last: `allow`, `drop` or `would-drop`.
    pub outcome: String,
    /// Why.
    pub reason: String,
}

impl SeenRecord {
    /// Words what the program keeps of a source; `None` where its address could not be read.
    pub fn new(seen: &Seen, ledger: &Ledger) -> Option<Self> {
        let Seen { key, value } = seen;
        let (segment, service) = ledger
            .booking(value.ruling.counter)
            .map_or((None, None), |booking| (booking.segment, booking.service));
        let time = |nanoseconds| {
            BootTime::from_nanoseconds(nanoseconds).unwrap_or_else(BootTime::now).to_timestamp()
        };
        Some(Self {
            source: key.source.to_ip()?,
            port: key.port,
            protocol: key.protocol,
            service,
            segment,
            first: time(value.first),
            last: time(value.last),
            connections: value.connections,
            outcome: value.ruling.verdict.name().to_owned(),
            reason: value.ruling.reason.name().to_owned(),
        })
    }

    /// Reads and words everything that is kept under these pins: the sources let in and then the refused, each the
    /// latest first.
    ///
    /// # Errors
    /// Where the pinned maps can't be read.
    pub fn read(pins: &Pins) -> Result<Vec<Self>, DatapathError> {
        Self::word(pins, &Seen::read(pins)?)
    }

    /// As [`SeenRecord::read`], of the sources alone that were refused or would have been.
    ///
    /// # Errors
    /// Where the pinned map can't be read.
    pub fn refused(pins: &Pins) -> Result<Vec<Self>, DatapathError> {
        Self::word(pins, &Seen::refused(pins)?)
    }

    fn word(pins: &Pins, seen: &[Seen]) -> Result<Vec<Self>, DatapathError> {
        let Some(counters) = Counters::read(pins)? else { return Ok(Vec::new()) };
        Ok(seen.iter().filter_map(|seen| Self::new(seen, counters.ledger())).collect())
    }
}
