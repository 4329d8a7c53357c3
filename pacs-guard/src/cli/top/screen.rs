//! The screen's state: what was sampled, and what the keys have made of it. Drawing reads it and changes nothing.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use super::sample::{Refusal, Sample, Source};
use crate::seen::SeenRecord;

/// Seconds of drops that are kept: more than the widest terminal shows.
const KEPT: usize = 512;

/// In which order rows stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What happens now first.
    #[default]
    Recent,
    /// The highest number first.
    Most,
    /// By name and address.
    Name,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Most => "most",
            Self::Name => "name",
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Recent => Self::Most,
            Self::Most => Self::Name,
            Self::Name => Self::Recent,
        }
    }
}

/// What lies over the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sheet {
    /// The keys.
    Help,
    /// What `explain` says, or why it says nothing.
    Explained(String),
}

/// Packets of one kind, each second, the latest last.
pub(super) type Rates = BTreeMap<Refusal, VecDeque<u64>>;

/// What a moment shows.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) sample: Sample,
    pub(super) rates: Rates,
}

/// Everything that the screen shows.
#[derive(Debug)]
pub(super) struct Screen {
    live: View,
    /// What is shown while nothing may move.
    paused: Option<Box<View>>,
    /// Why the last look failed.
    pub(super) trouble: Option<String>,
    pub(super) colour: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether keys go to the filter.
    pub(super) typing: bool,
    pub(super) sheet: Option<Sheet>,
    /// Kept by what it is, since rows move.
    selected: Option<(IpAddr, u16, u8)>,
}

impl Screen {
    pub(super) fn new(sample: Sample, colour: bool) -> Self {
        Self {
            live: View { sample, rates: Rates::new() },
            paused: None,
            trouble: None,
            colour,
            sort: Sort::default(),
            filter: String::new(),
            typing: false,
            sheet: None,
            selected: None,
        }
    }

    pub(super) fn view(&self) -> &View {
        self.paused.as_deref().unwrap_or(&self.live)
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    pub(super) fn pause(&mut self) {
        self.paused = match self.paused {
            Some(_) => None,
            None => Some(Box::new(self.live.clone())),
        };
    }

    /// Takes the next sample; where there is none, the last one stays, and why is said.
    pub(super) fn take(&mut self, sample: anyhow::Result<Sample>) {
        match sample {
            Ok(sample) => {
                self.trouble = None;
                count(&mut self.live.rates, &self.live.sample, &sample);
                self.live.sample = sample;
            }
            Err(why) => self.trouble = Some(format!("{why:#}")),
        }
    }

    /// Shows what `explain` says of a source.
    pub(super) fn explained(&mut self, source: &SeenRecord, words: anyhow::Result<String>) {
        let words = words.unwrap_or_else(|why| format!("{why:#}"));
        let more =
            format!("pacs-guard explain {} {} --live\n  asks the source as well", source.source, source.port);
        self.sheet = Some(Sheet::Explained(format!("{words}\n\n{more}")));
    }

    fn matches(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&filter))
    }

    /// The refusals that the filter lets through, in order, with their total and the packets of each second.
    pub(super) fn refusals(&self) -> Vec<(&Refusal, u64, Option<&VecDeque<u64>>)> {
        let View { sample, rates } = self.view();
        let mut rows: Vec<_> = sample
            .refusals
            .iter()
            .filter(|(refusal, _)| self.matches(&[refusal.segment.as_deref().unwrap_or("-"), refusal.reason]))
            .map(|(refusal, total)| (refusal, *total, rates.get(refusal)))
            .collect();
        match self.sort {
            Sort::Recent => rows.sort_by_key(|(_, total, rates)| Reverse((now(*rates), *total))),
            Sort::Most => rows.sort_by_key(|(_, total, _)| Reverse(*total)),
            Sort::Name => {}
        }
        rows
    }

    /// The sources that the filter lets through, in order.
    pub(super) fn sources(&self) -> Vec<&Source> {
        let shown = |source: &&Source| {
            let Source { seen, titles } = source;
            let titles =
                titles.as_ref().map_or(("", ""), |titles| (titles.calling.as_str(), titles.called.as_str()));
            self.matches(&[
                &seen.source.to_string(),
                seen.segment.as_deref().unwrap_or("-"),
                seen.service.as_deref().unwrap_or("-"),
                &seen.reason,
                titles.0,
                titles.1,
            ])
        };
        let mut rows: Vec<_> = self.view().sample.sources.iter().filter(shown).collect();
        match self.sort {
            // As they are read.
            Sort::Recent => {}
            Sort::Most => rows.sort_by_key(|source| Reverse(source.seen.connections)),
            Sort::Name => rows.sort_by_key(|source| (source.seen.source, source.seen.port)),
        }
        rows
    }

    /// The row of the selected source; the first one where it is gone.
    pub(super) fn selected(&self, sources: &[&Source]) -> usize {
        let selected = |source: &&Source| Some(key(source)) == self.selected;
        sources.iter().position(selected).unwrap_or(0)
    }

    /// Selects the source so many rows below, or above.
    pub(super) fn move_by(&mut self, rows: isize) {
        let sources = self.sources();
        let row = self.selected(&sources).saturating_add_signed(rows).min(sources.len().saturating_sub(1));
        self.selected = sources.get(row).map(|source| key(source));
    }

    /// The selected source.
    pub(super) fn source(&self) -> Option<SeenRecord> {
        let sources = self.sources();
        sources.get(self.selected(&sources)).map(|source| source.seen.clone())
    }
}

/// Packets of the last second.
pub(super) fn now(rates: Option<&VecDeque<u64>>) -> u64 {
    rates.and_then(|rates| rates.back()).copied().unwrap_or(0)
}

fn key(source: &Source) -> (IpAddr, u16, u8) {
    (source.seen.source, source.seen.port, source.seen.protocol)
}

/// Books what came between two samples, as packets a second. Counters that begin anew count from zero.
fn count(rates: &mut Rates, before: &Sample, after: &Sample) {
    let seconds = after.at.duration_since(before.at).as_secs_f64().max(0.001);
    for (refusal, total) in &after.refusals {
        let old = before.refusals.get(refusal).copied().unwrap_or(0);
        let more = total.checked_sub(old).unwrap_or(*total);
        // A packet is never rounded away.
        let rate = (more as f64 / seconds).round().max(f64::from(u8::from(more > 0))) as u64;
        let rates = rates.entry(refusal.clone()).or_default();
        rates.push_back(rate);
        if rates.len() > KEPT {
            rates.pop_front();
        }
    }
    rates.retain(|refusal, _| after.refusals.contains_key(refusal));
}
