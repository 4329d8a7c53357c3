//! Watching what the policy in force would drop, until it may be enforced.

use pacs_guard_common::{abi::CounterId, verdict::Verdict};

use crate::{
    control::{Readiness, ReadyRow},
    datapath::{BootTime, Datapath, DatapathError},
    image::{Booking, Card, Enforces},
    policy::model::{Mode, Policy},
    state::{Store, Watch, Watched, boot},
};

/// The watch, and where it is kept.
pub(super) struct Watching {
    store: Store,
    watch: Watch,
}

impl Watching {
    /// Goes on with the watch of an earlier daemon, where it is over the same policy.
    pub(super) fn resume(store: Store) -> Self {
        let watch = store.watch().unwrap_or_else(|why| {
            tracing::warn!("readiness is measured anew: {why}");
            None
        });
        Self { store, watch: watch.unwrap_or_default() }
    }

    /// Looks at the counters. Where another policy is in force than at the last look, or where there was a `gap` in
    /// which not every packet was judged, the watch begins anew.
    pub(super) fn look(&mut self, datapath: &Datapath, card: &Card, gap: bool) -> Result<(), DatapathError> {
        let (now, readings) = (BootTime::now(), would_drops(datapath)?);
        let watched =
            Watched { sha256: card.sha256.clone(), boot: boot(), counters: datapath.counters_number()? };
        let goes_on = self.watch.is_over(&watched) && !gap;
        let counters: Vec<_> = readings.iter().map(|(counter, _, packets)| (*counter, *packets)).collect();
        if !goes_on {
            self.watch = Watch::begin(watched, now, &counters);
        }
        if self.watch.look(now, &counters) || !goes_on {
            // Another look writes it again; until then a restart finds growth later than it was, never earlier.
            if let Err(why) = self.store.set_watch(&self.watch) {
                tracing::warn!("readiness is not remembered: {why}");
            }
        }
        Ok(())
    }

    /// How long the policy in force would have dropped nothing.
    pub(super) fn readiness(
        &self,
        datapath: &Datapath,
        card: &Card,
        policy: &Policy,
    ) -> Result<Readiness, DatapathError> {
        let since = self.watch.since().unwrap_or_else(BootTime::now);
        let rows = would_drops(datapath)?.into_iter().filter(|(_, booking, _)| in_audit(policy, booking));
        let row = |(counter, booking, _): (CounterId, Booking, u64)| {
            let (would_drops, last) = self.watch.found(counter);
            ReadyRow {
                service: booking.service,
                segment: booking.segment,
                reason: booking.reason.name().to_owned(),
                would_drops,
                last: last.map(BootTime::to_timestamp),
                quiet_seconds: last.unwrap_or(since).elapsed().as_secs(),
            }
        };
        Ok(Readiness {
            policy: card.policy.clone(),
            file: card.file.clone(),
            sha256: card.sha256.clone(),
            // Not the card's: a bypass is no part of the policy.
            enforces: Enforces::of(policy),
            since: since.to_timestamp(),
            watched_seconds: since.elapsed().as_secs(),
            rows: rows.map(row).collect(),
        })
    }
}

fn would_drops(datapath: &Datapath) -> Result<Vec<(CounterId, Booking, u64)>, DatapathError> {
    let counters = datapath.counters()?;
    Ok(counters.entries().filter(|(_, booking, _)| booking.verdict == Verdict::WouldDrop).collect())
}

/// Whether a policy still reports what is booked so: the ledger keeps what earlier policies booked.
fn in_audit(policy: &Policy, booking: &Booking) -> bool {
    let Some(service) = &booking.service else {
        // What can't be parsed is dropped as soon as anything is enforced.
        let modes = policy.services.iter().map(|service| service.mode);
        let mut modes = modes.chain(policy.segments.iter().map(|segment| segment.mode)).flatten();
        return policy.mode == Mode::Audit && modes.all(|mode| mode == Mode::Audit);
    };
    let Some(service) = policy.services.iter().find(|known| *known.name == **service) else { return false };
    let by_default = service.mode.unwrap_or(policy.mode);
    let mode = match &booking.segment {
        None => Some(by_default),
        Some(name) => {
            let segment = policy.segments.iter().find(|known| *known.name == **name);
            segment.map(|segment| segment.mode.unwrap_or(by_default))
        }
    };
    mode == Some(Mode::Audit)
}
