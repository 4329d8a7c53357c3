//! The stream of events: the reading end of the ring buffer.

use std::{io, os::fd::AsFd};

use aya::maps::{MapData, RingBuf};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use pacs_guard_common::abi::Event;

/// Refused packets as the program reports them. The ring has one reader.
pub struct EventStream {
    ring: RingBuf<MapData>,
}

impl EventStream {
    pub(super) const fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// The next event that is there already.
    pub fn ready(&mut self) -> Option<Event> {
        loop {
            let item = self.ring.next()?;
            if let Some(event) = Event::from_bytes(&item) {
                return Some(event);
            }
            tracing::warn!(bytes = item.len(), "the event ring holds a record that is no event");
        }
    }

    /// Hands events to `take` until it answers that it wants no more; it blocks the thread.
    pub fn forward(mut self, mut take: impl FnMut(Event) -> bool) -> io::Result<()> {
        loop {
            while let Some(event) = self.ready() {
                if !take(event) {
                    return Ok(());
                }
            }
            wait_readable(&self.ring)?;
        }
    }
}

/// Blocks the thread until there is something to read.
///
/// A thread and poll(2), since tokio's way to watch a descriptor that it did not open itself is unsafe.
pub(super) fn wait_readable(source: &impl AsFd) -> io::Result<()> {
    let mut watched = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
    match poll(&mut watched, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
