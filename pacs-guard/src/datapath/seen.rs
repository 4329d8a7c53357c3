//! The sources lately seen, as the program keeps them.

use std::collections::HashMap;

use aya::maps::{self, MapData};
use pacs_guard_common::abi::{SEEN_ENTRIES, SeenKey, SeenValue};

use super::{DatapathError, Pins, swap::open_pin};

/// The names of the two maps: of sources that were let in, and of sources that were refused or would have been.
pub(super) const SEEN_MAPS: [&str; 2] = ["ALLOWED", "REFUSED"];

/// A source lately seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who, and what it asked for.
    pub key: SeenKey,
    /// When, how often, and what it got last.
    pub value: SeenValue,
}

impl Seen {
    /// Reads the pinned maps, without the daemon: the sources let in and then the refused, each the latest first.
    /// None where nothing is pinned. A source may be in both.
    ///
    /// # Errors
    /// Where a map can't be opened or read.
    pub fn read(pins: &Pins) -> Result<Vec<Self>, DatapathError> {
        Self::of(pins, &SEEN_MAPS)
    }

    /// As [`Seen::read`], of the sources alone that were refused or would have been.
    ///
    /// # Errors
    /// Where the map can't be opened or read.
    pub fn refused(pins: &Pins) -> Result<Vec<Self>, DatapathError> {
        Self::of(pins, &[SEEN_MAPS[1]])
    }

    fn of(pins: &Pins, maps: &[&str]) -> Result<Vec<Self>, DatapathError> {
        let mut seen = Vec::new();
        for name in maps {
            if let Some(map) = open_pin(pins, name)? {
                seen.extend(entries(&map.try_into()?)?);
            }
        }
        Ok(seen)
    }
}

type Sources = maps::HashMap<MapData, [u64; SeenKey::LANES], [u64; SeenValue::LANES]>;

/// The kernel starts such a walk anew where the entry that it stands on is evicted: so it is bounded, and an entry
/// that comes twice is taken once.
fn entries(map: &Sources) -> Result<Vec<Seen>, DatapathError> {
    let mut found = HashMap::new();
    for entry in map.iter().take(4 * SEEN_ENTRIES as usize) {
        let (key, value) = entry?;
        found.insert(key, value);
    }
    let read =
        |(key, value)| Some(Seen { key: SeenKey::from_lanes(key)?, value: SeenValue::from_lanes(value)? });
    let mut seen: Vec<Seen> = found.into_iter().filter_map(read).collect();
    seen.sort_unstable_by_key(|seen| std::cmp::Reverse(seen.value.last));
    Ok(seen)
}
