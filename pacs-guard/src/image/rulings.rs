//! The rulings: what the sources in a set of segments get of each service, now and when segments end.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use pacs_guard_common::{
    abi::{Cell, MAX_TIMED, Ruling, TimedRuling},
    verdict::{Reason, Verdict},
};

use super::{
    Booking, Circumstances, CompileError, Leaving, Ledger,
    columns::{Column, Columns},
    compile::{append, append_lanes, drain_number, reset_number},
    ranges::Sets,
};
use crate::policy::model::{Mode, Policy, Segment, Service};

/// Lays out one row of rulings a set of segments, one ruling a column; returns each set's first lane.
pub(super) fn rows(
    cells: &mut Vec<Cell>,
    policy: &Policy,
    columns: &Columns,
    sets: &Sets,
    circumstances: &Circumstances<'_>,
    ledger: &mut Ledger,
) -> Result<Vec<u32>, CompileError> {
    let names = policy.segments.iter().map(|segment| Arc::from(segment.name.as_str())).collect();
    let mut book = Book { policy, circumstances, names, ledger };
    let mut timed: HashMap<Cell, u64> = HashMap::new();
    let mut lanes: Vec<u64> = Vec::new();
    let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
    let mut starts = Vec::with_capacity(sets.members().len());
    for set in sets.members() {
        let mut row = Vec::with_capacity(columns.list.len());
        for column in &columns.list {
            let steps = book.steps(set, column)?;
            row.push(chain(&steps, |timed_ruling| {
                let cell = timed_ruling.to_cell();
                *timed.entry(cell).or_insert_with(|| u64::from(append(cells, &[cell])) | TimedRuling::FLAG)
            }));
        }
        starts.push(*known.entry(row).or_insert_with_key(|row| {
            lanes.extend(row);
            lanes.len() - row.len()
        }));
    }
    let base = append_lanes(cells, &lanes) as usize * 8;
    Ok(starts.into_iter().map(|start| (base + start) as u32).collect())
}

/// What is ruled from a time on, until the next step.
#[derive(Clone, Copy)]
struct Step {
    /// In nanoseconds since boot.
    from: u64,
    ongoing: u64,
    opening: u64,
}

/// The lane of a run of steps, the last of which never ends; each step but that one needs a place.
fn chain(steps: &[Step], mut place: impl FnMut(TimedRuling) -> u64) -> u64 {
    let mut then = steps.last().map_or(0, |last| last.opening);
    for pair in steps.windows(2).rev() {
        if let [Step { ongoing, opening, .. }, next] = *pair {
            then = place(TimedRuling { end: next.from, ongoing, opening, then });
        }
    }
    then
}

/// Books outcomes, and so makes rulings of them.
struct Book<'a> {
    policy: &'a Policy,
    circumstances: &'a Circumstances<'a>,
    names: Vec<Arc<str>>,
    ledger: &'a mut Ledger,
}

impl<'a> Book<'a> {
    /// How the rulings on the sources in a set go on, from now to the last change.
    fn steps(&mut self, set: &[u32], column: &Column) -> Result<Vec<Step>, CompileError> {
        let clock = self.circumstances.clock;
        let drain = self.drain(set, column);
        let mut times: Vec<(u64, Option<Timestamp>)> = ends(self.policy, set, clock.wall)
            .map(|end| (clock.boot_time(end).nanoseconds(), Some(end)))
            .collect();
        times.extend(drain.map(|leaving| (leaving.end().nanoseconds(), None)));
        times.sort_unstable();
        let mut at = clock.wall;
        let mut steps = vec![self.step(set, column, 0, at, drain)?];
        for (from, end) in times {
            at = end.unwrap_or(at);
            let drain = drain.filter(|leaving| leaving.end().nanoseconds() > from);
            let step = self.step(set, column, from, at, drain)?;
            // Two that end at once are one change, and an end that changes nothing is none.
            steps.pop_if(|last| last.from == from);
            if steps.last().is_none_or(|last| (last.ongoing, last.opening) != (step.ongoing, step.opening)) {
                steps.push(step);
            }
        }
        match steps.len() - 1 {
            changes if changes > MAX_TIMED as usize => Err(CompileError::TooManyEnds(changes)),
            _ => Ok(steps),
        }
    }

    /// The part of the drain that these sources are in: of several, the one that ends last.
    fn drain(&self, set: &[u32], column: &Column) -> Option<&'a Leaving> {
        let drain = self.circumstances.drain;
        let parts = column.parts.iter().filter(|part| set.contains(&drain_number(self.policy, **part)));
        let parts = parts.filter_map(|part| drain.get(*part));
        let live = parts.filter(|leaving| leaving.end() > self.circumstances.clock.boot);
        live.max_by_key(|leaving| leaving.end())
    }

    fn step(
        &mut self,
        set: &[u32],
        column: &Column,
        from: u64,
        at: Timestamp,
        drain: Option<&Leaving>,
    ) -> Result<Step, CompileError> {
        let Some(service) = self.policy.services.get(column.service) else {
            return Ok(Step { from, ongoing: 0, opening: 0 });
        };
        let Outcome { segment, reason, verdict } = outcome(self.policy, set, column.service, service, at);
        let segment = segment.and_then(|number| self.names.get(number).cloned());
        let name: Arc<str> = Arc::from(service.name.as_str());
        let resets = verdict == Verdict::Drop && set.contains(&reset_number(self.policy, column.service));
        let opening =
            self.ruling(Booking { segment, service: Some(name.clone()), reason, verdict }, resets)?;
        let ongoing = match drain {
            Some(leaving) if verdict == Verdict::Drop => {
                let segment = leaving.segment.as_deref().map(Arc::from);
                let (reason, verdict) = (Reason::Draining, Verdict::Allow);
                self.ruling(Booking { segment, service: Some(name), reason, verdict }, false)?
            }
            _ => opening,
        };
        Ok(Step { from, ongoing, opening })
    }

    fn ruling(&mut self, booking: Booking, resets: bool) -> Result<u64, CompileError> {
        let (verdict, reason) = (booking.verdict, booking.reason);
        let shared = if self.circumstances.bypass { Ledger::shared(&booking) } else { None };
        let counter = match (self.ledger.book(booking), shared) {
            (Err(_), Some(shared)) => shared,
            (booked, _) => booked?,
        };
        Ok(Ruling { verdict, reason, resets, counter }.to_lane())
    }
}

/// When the segments in a set end, of those that have not yet.
pub(super) fn ends(policy: &Policy, set: &[u32], now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let segments = set.iter().filter_map(|number| policy.segments.get(*number as usize));
    segments.filter_map(|segment| segment.until).filter(move |until| *until > now)
}

/// What a source gets of a service.
pub(super) struct Outcome {
    /// The number of the segment that decides.
    pub(super) segment: Option<usize>,
    reason: Reason,
    pub(super) verdict: Verdict,
}

/// What the sources in a set of segments get of a service at a time.
pub(super) fn outcome(
    policy: &Policy,
    set: &[u32],
    index: usize,
    service: &Service,
    at: Timestamp,
) -> Outcome {
    let members = || {
        set.iter().filter_map(|number| {
            let number = *number as usize;
            let segment: &Segment = policy.segments.get(number).filter(|segment| !segment.has_ended(at))?;
            Some((number, segment))
        })
    };
    let (segment, reason) = match members().find(|(_, segment)| segment.services.contains(&index)) {
        Some((number, _)) => (Some(number), Reason::Allowed),
        None => match members().next() {
            Some((number, _)) => (Some(number), Reason::ServiceNotAllowed),
            None => (None, Reason::NotInSegment),
        },
    };
    // The segment's mode, most specific first, else the service's, else the policy's.
    let mode = members().find_map(|(_, segment)| segment.mode).or(service.mode).unwrap_or(policy.mode);
    let verdict = match (reason, mode) {
        (Reason::Allowed, _) => Verdict::Allow,
        (_, Mode::Enforce) => Verdict::Drop,
        (_, Mode::Audit) => Verdict::WouldDrop,
    };
    Outcome { segment, reason, verdict }
}
