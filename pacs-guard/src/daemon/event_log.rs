//! The event log: the newest events, kept for who asks later and sent to who listens now and to the journal.

use std::{collections::VecDeque, sync::Arc};

use pacs_guard_common::abi::Event;
use tokio::sync::broadcast;

use super::journal::Journal;
use crate::{
    control::{EventFeed, EventRecord},
    image::Booking,
};

/// Events that are kept.
const KEPT: usize = 1000;
/// Events that a listener may lag behind.
const LAG: usize = 1024;

pub(super) struct EventLog {
    kept: VecDeque<Arc<EventRecord>>,
    listeners: broadcast::Sender<Arc<EventRecord>>,
    journal: Option<Journal>,
}

impl EventLog {
    pub(super) fn new() -> Self {
        let (listeners, _) = broadcast::channel(LAG);
        Self { kept: VecDeque::new(), listeners, journal: Journal::of_the_service() }
    }

    pub(super) fn record(&mut self, event: &Event, booking: Option<Booking>) {
        let event = Arc::new(EventRecord::new(event, booking));
        if let Some(journal) = &mut self.journal {
            journal.record(&event);
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        // Nobody need listen.
        self.listeners.send(event).ok();
    }

    /// Events that made no entry in the journal; `None` where nothing writes there.
    pub(super) fn left_out_of_the_journal(&self) -> Option<u64> {
        self.journal.as_ref().map(Journal::all_left_out)
    }

    /// The kept events, and the ones to come from here on.
    pub(super) fn open(&self) -> EventFeed {
        EventFeed { kept: self.kept.iter().cloned().collect(), coming: self.listeners.subscribe() }
    }
}
