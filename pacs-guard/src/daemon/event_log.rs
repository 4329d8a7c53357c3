//! The event log: the newest events, kept for who asks later and sent to who listens now.

use std::{collections::VecDeque, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use pacs_guard_common::abi::Event;
use tokio::sync::broadcast;

use crate::{
    control::{EventFeed, EventRecord},
    image::Booking,
};

/// Events that are kept.
const KEPT: usize = 1000;
/// Events that a listener may lag behind.
const LAG: usize = 1024;

pub(super) struct EventLog {
    boot: Timestamp,
    kept: VecDeque<Arc<EventRecord>>,
    listeners: broadcast::Sender<Arc<EventRecord>>,
}

impl EventLog {
    pub(super) fn new() -> anyhow::Result<Self> {
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        let uptime = SignedDuration::new(uptime.tv_sec(), uptime.tv_nsec() as i32);
        let (listeners, _) = broadcast::channel(LAG);
        Ok(Self { boot: Timestamp::now().checked_sub(uptime)?, kept: VecDeque::new(), listeners })
    }

    pub(super) fn record(&mut self, event: &Event, booking: Option<Booking>) {
        let event = Arc::new(EventRecord::new(event, booking, self.boot));
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        // Nobody need listen.
        self.listeners.send(event).ok();
    }

    /// The kept events, and the ones to come from here on.
    pub(super) fn open(&self) -> EventFeed {
        EventFeed { kept: self.kept.iter().cloned().collect(), coming: self.listeners.subscribe() }
    }
}
