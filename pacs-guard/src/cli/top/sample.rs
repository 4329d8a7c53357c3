//! A sample: everything that the screen shows, as it is at one moment.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::Instant,
};

use pacs_guard_common::verdict::Verdict;

use super::super::block_on;
use crate::{
    control::Client,
    datapath::{BootTime, Counters, Noted, Outline, Pins},
    echo::Standing,
    learn::Association,
    observe::{Reading, Totals},
    seen::SeenRecord,
};

/// What refused packets are counted under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refusal {
    /// `None` for sources in no segment.
    pub(super) segment: Option<Arc<str>>,
    pub(super) reason: &'static str,
    /// Whether they were dropped, or would have been.
    pub(super) dropped: bool,
}

/// A refused source, and the AE titles that it was noted under last.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) seen: SeenRecord,
    pub(super) titles: Option<Association>,
}

/// What is in force and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) reading: Reading,
    pub(super) generation: Option<u64>,
    pub(super) totals: Totals,
    /// Packets since the counters began.
    pub(super) refusals: BTreeMap<Refusal, u64>,
    /// The sources that were refused or would have been, the latest first.
    pub(super) sources: Vec<Source>,
    /// How the policy's peers stand; `None` where no daemon answers.
    pub(super) peers: Option<Vec<Standing>>,
}

impl Sample {
    /// Reads the pins, and asks the daemon.
    ///
    /// # Errors
    /// Where the pins may not be read.
    pub(super) fn take(pins: &Pins, socket: &Path) -> anyhow::Result<Self> {
        let (reading, daemon) = block_on(async {
            let daemon = match Client::connect(socket).await {
                Ok(client) => client.status().await.ok(),
                Err(_) => None,
            };
            Ok((Reading::take(pins).await?, daemon))
        })?;
        let titles = titles(&Noted::read(pins)?);
        let sources = SeenRecord::refused(pins)?.into_iter().map(|seen| Source {
            titles: titles.get(&(seen.source, seen.port)).map(|(_, titles)| titles.clone()),
            seen,
        });
        Ok(Self {
            at: Instant::now(),
            generation: reading.outline.as_ref().and_then(Outline::generation),
            totals: reading.totals(),
            refusals: reading.counters.as_ref().map(refusals).unwrap_or_default(),
            sources: sources.collect(),
            peers: daemon.map(|daemon| daemon.peers),
            reading,
        })
    }
}

/// The latest titles of each source at each port.
fn titles(noted: &[Noted]) -> HashMap<(IpAddr, u16), (Option<BootTime>, Association)> {
    let mut latest: HashMap<_, (Option<BootTime>, Association)> = HashMap::new();
    for Noted { key, last } in noted {
        let (Some(address), Some(titles)) = (key.source.source.to_ip(), Association::read(&key.titles))
        else {
            continue;
        };
        let known = latest.entry((address, key.source.port)).or_insert_with(|| (*last, titles.clone()));
        if known.0 < *last {
            *known = (*last, titles);
        }
    }
    latest
}

fn refusals(counters: &Counters) -> BTreeMap<Refusal, u64> {
    let mut sums = BTreeMap::new();
    for (_, booking, packets) in counters.entries() {
        let dropped = match booking.verdict {
            Verdict::Drop => true,
            Verdict::WouldDrop => false,
            Verdict::Allow | Verdict::Pass => continue,
        };
        if packets > 0 {
            let refusal = Refusal { segment: booking.segment, reason: booking.reason.name(), dropped };
            *sums.entry(refusal).or_default() += packets;
        }
    }
    sums
}
