//! The heartbeat of a stream of events: how many came since the last one, and how many did not.

use std::time::Instant;

use jiff::Timestamp;
use pacs_guard_common::abi::CounterId;
use serde_json::{Value, json};

use crate::{
    cli::terminal::thousands,
    datapath::{Counters, Pins},
};

/// Refused packets that sent no event, counted in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Over the budget.
    pub(super) suppressed: u64,
    /// With the ring full.
    pub(super) lost: u64,
}

impl LeftOut {
    /// Reads the counters; `None` where the caller may not, or nothing is counted.
    fn read(pins: &Pins) -> Option<Self> {
        let counters = Counters::read(pins).ok()??;
        Some(Self {
            suppressed: counters.packets(CounterId::EVENTS_SUPPRESSED),
            lost: counters.packets(CounterId::EVENTS_LOST),
        })
    }

    /// What came since; counters that began anew count from zero.
    const fn since(self, before: Self) -> Self {
        match (self.suppressed.checked_sub(before.suppressed), self.lost.checked_sub(before.lost)) {
            (Some(suppressed), Some(lost)) => Self { suppressed, lost },
            _ => self,
        }
    }
}

/// What a time brought.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    pub(super) at: Timestamp,
    pub(super) seconds: f64,
    /// Events that were shown.
    pub(super) events: u64,
    /// Events that the daemon sent faster than they were read.
    pub(super) missed: u64,
    /// `None` where it is not known.
    pub(super) left_out: Option<LeftOut>,
}

impl Beat {
    /// Events a second.
    pub(super) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds.max(0.001)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.events + self.missed == 0 && self.left_out.unwrap_or_default() == LeftOut::default()
    }

    pub(super) fn words(&self) -> String {
        let time = self.at.strftime("%F %T%.3fZ");
        let shown = format!("{time}  {} events in {:.0} s", thousands(self.events), self.seconds);
        let left_out = match self.left_out {
            Some(LeftOut { suppressed, lost }) => {
                format!("{} over the budget, {} lost to a full ring", thousands(suppressed), thousands(lost))
            }
            None => "what sent no event is not known: only root reads that".to_owned(),
        };
        format!("{shown} ({:.1}/s), {} missed here; {left_out}", self.rate(), thousands(self.missed))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "schema": "pacs-guard/events-heartbeat/1",
            "time": self.at,
            "seconds": self.seconds,
            "events": self.events,
            "events_per_second": self.rate(),
            "missed": self.missed,
            "events_suppressed": self.left_out.map(|left_out| left_out.suppressed),
            "events_lost": self.left_out.map(|left_out| left_out.lost),
        })
    }
}

/// Counts from one beat to the next.
pub(super) struct Pulse {
    pins: Pins,
    since: Instant,
    left_out: Option<LeftOut>,
    pub(super) events: u64,
    pub(super) missed: u64,
}

impl Pulse {
    pub(super) fn new(pins: Pins) -> Self {
        Self { left_out: LeftOut::read(&pins), since: Instant::now(), events: 0, missed: 0, pins }
    }

    /// What came since the last beat.
    pub(super) fn beat(&mut self) -> Beat {
        let next = Self::new(self.pins.clone());
        let now = next.left_out;
        let left_out = now.zip(self.left_out).map(|(now, before)| now.since(before));
        let beat = Beat {
            at: Timestamp::now(),
            seconds: self.since.elapsed().as_secs_f64(),
            events: self.events,
            missed: self.missed,
            left_out: left_out.or(now),
        };
        *self = next;
        beat
    }
}
