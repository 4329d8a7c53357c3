//! Looking after what ends by itself while the daemon lives: it ends in the kernel, and is told of here.

use super::{
    enforcement::Enforcement,
    put::{Term, swap},
};
use crate::clock::Clock;

impl Enforcement {
    /// Whether something of the policy in force ends by itself, so that [`Enforcement::look`] has something to see.
    pub(super) const fn is_to_end(&self) -> bool {
        !self.card.ends.is_empty() || !self.drain.is_empty()
    }

    /// Tells of the ends that are near or there. Where the wall clock was set, the kernel gets their new times.
    pub(super) fn look(&mut self) {
        let now = Clock::now();
        for line in self.ends.due(&self.card.ends, now.wall) {
            tracing::warn!("{line}");
        }
        if !self.drain.is_empty() {
            self.drain.retain(|part| part.end() > now.boot);
            if self.drain.is_empty() {
                tracing::info!("the drain has ended: nothing goes on that the policy refuses");
                if let Err(why) = self.store.set_drain(&[]) {
                    tracing::warn!("that the drain has ended can't be written down: {why}");
                }
            }
        }
        // What is in force for a while would have to end at another time too, and be swapped in anew for that. Its ends
        // keep their time until it is settled, by a day at most.
        let set = self.compiled.is_some_and(|compiled| now.was_set_since(&compiled));
        if set && self.provisional.is_none() && !self.card.ends.is_empty() {
            let term = Term { drain: self.drain.clone(), ..Term::default() };
            match tokio::task::block_in_place(|| swap(&mut self.datapath, &self.checked, &term)) {
                Ok((card, clock)) => {
                    (self.card, self.compiled) = (card, clock);
                    tracing::warn!("the clock was set: the ends of segments are counted anew");
                }
                // Tried again at the next step of the clock, or the log would fill.
                Err(why) => {
                    self.compiled = Some(now);
                    tracing::error!("the clock was set, and segments still end by the old time: {why}");
                }
            }
        }
    }
}
