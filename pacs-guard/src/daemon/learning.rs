//! Learning while the daemon runs: the program is told until when, and what it has seen is kept on disk.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use crate::{
    datapath::{BootTime, Pins, learn_until},
    learn::Learnt,
};

/// How often what was seen is kept, while AE titles are noted. Between two times the maps hold it, over the daemon's
/// death too.
pub(super) const EVERY: Duration = Duration::from_secs(600);

pub(super) struct Learning {
    folder: PathBuf,
    pins: Pins,
    learnt: Learnt,
    /// When what was seen was kept last, by this daemon.
    kept: Option<Timestamp>,
}

impl Learning {
    /// Goes on where an earlier daemon, or an earlier boot, has stopped.
    pub(super) fn resume(folder: PathBuf, pins: Pins) -> Self {
        let learnt = Learnt::open(&folder).unwrap_or_else(|why| {
            tracing::error!("what was learnt is not known: {why}");
            Learnt::default()
        });
        let this = Self { folder, pins, learnt, kept: None };
        if let Some(until) = this.until()
            && let Err(why) = this.tell(until)
        {
            tracing::error!("AE titles are not noted: {why}");
        }
        this
    }

    /// Until when AE titles are noted; `None` where they are not.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.learnt.until.filter(|until| *until > Timestamp::now())
    }

    /// Begins anew, for so many seconds; or ends it, and keeps what was seen.
    ///
    /// # Errors
    /// In words, why not.
    pub(super) fn order(&mut self, seconds: u64) -> Result<Option<Timestamp>, String> {
        let now = Timestamp::now();
        if seconds == 0 {
            self.keep();
            self.learnt.until = self.learnt.until.map(|until| until.min(now));
        } else {
            let until = now.checked_add(Duration::from_secs(seconds)).map_err(|why| why.to_string())?;
            self.learnt = Learnt { since: Some(now), until: Some(until), ..Learnt::default() };
        }
        // On disk before it is on: a daemon that dies in between goes on with it.
        self.learnt.save(&self.folder).map_err(|why| why.to_string())?;
        match self.until() {
            Some(until) => self.tell(until),
            None => learn_until(&self.pins, None).map_err(|why| why.to_string()),
        }?;
        Ok(self.until())
    }

    /// Keeps what was seen so far: until it ends, and once after that.
    pub(super) fn keep(&mut self) {
        if self.learnt.until.is_none_or(|until| self.kept.is_some_and(|kept| kept >= until)) {
            return;
        }
        self.kept = Some(Timestamp::now());
        if let Err(why) = self.learnt.look(&self.pins) {
            tracing::warn!("what was seen can't be read: {why}");
        }
        if let Err(why) = self.learnt.save(&self.folder) {
            tracing::warn!("what was seen is not kept: {why}");
        }
    }

    fn tell(&self, until: Timestamp) -> Result<(), String> {
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        learn_until(&self.pins, Some(BootTime::now().after(left))).map_err(|why| why.to_string())
    }
}
