//! Learning: until when the program notes AE titles, and what it has noted.

use std::collections::HashMap;

use aya::maps::{self, Array, MapData};
use pacs_guard_common::abi::{ASSOCIATIONS, AssociationKey};

use super::{BootTime, DatapathError, Pins, swap::open_pin};

/// The name of the map that holds until when.
pub(super) const LEARNING: &str = "LEARNING";
/// The name of the map of what was noted.
pub(super) const TITLES: &str = "TITLES";

/// An association that was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Who, where, and under which titles.
    pub key: AssociationKey,
    /// When last.
    pub last: Option<BootTime>,
}

/// Has the program note AE titles until a time; `None` ends it. It ends by itself, whoever is alive then.
///
/// # Errors
/// Where nothing is in force, or the map can't be written.
pub fn learn_until(pins: &Pins, until: Option<BootTime>) -> Result<(), DatapathError> {
    let map = open_pin(pins, LEARNING)?.ok_or(DatapathError::Detached)?;
    let mut map: Array<MapData, u64> = map.try_into()?;
    Ok(map.set(0, until.map_or(0, BootTime::nanoseconds), 0)?)
}

impl Noted {
    /// Reads what was noted, without the daemon; nothing where nothing is pinned.
    ///
    /// # Errors
    /// Where the map can't be opened or read.
    pub fn read(pins: &Pins) -> Result<Vec<Self>, DatapathError> {
        let Some(map) = open_pin(pins, TITLES)? else { return Ok(Vec::new()) };
        let map: maps::HashMap<MapData, [u64; AssociationKey::LANES], u64> = map.try_into()?;
        // As with the sources lately seen: the kernel may start such a walk anew.
        let mut found = HashMap::new();
        for entry in map.iter().take(4 * ASSOCIATIONS as usize) {
            let (key, last) = entry?;
            found.insert(key, last);
        }
        let read = |(key, last)| {
            Some(Self { key: AssociationKey::from_lanes(key)?, last: BootTime::from_nanoseconds(last) })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }
}
