//! What the program has seen, and what was kept of it while it learnt: `learning.json` in the state folder.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Association, Sighting, Sightings};
use crate::{
    datapath::{BootTime, DatapathError, Noted, Pins},
    seen::SeenRecord,
    state::{StateError, read_json, write_json},
};

/// A time of learning, and what was seen in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// When it began.
    pub since: Option<Timestamp>,
    /// When it ends, or ended.
    pub until: Option<Timestamp>,
    /// Who was seen.
    #[serde(default)]
    pub seen: Sightings,
}

impl Learnt {
    /// Reads what is kept in a state folder; nothing, where nothing is.
    ///
    /// # Errors
    /// Where the file is there and can't be read.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        Ok(read_json(&folder.join("learning.json"))?.unwrap_or_default())
    }

    /// Writes it to a state folder, whole or not at all.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        write_json(&folder.join("learning.json"), self)
    }

    /// Adds what the kernel's maps hold now.
    ///
    /// # Errors
    /// Where the maps can't be read.
    pub fn look(&mut self, pins: &Pins) -> Result<(), DatapathError> {
        for record in SeenRecord::read(pins)? {
            self.seen.replace(Sighting::from(&record));
        }
        for noted in Noted::read(pins)? {
            let source = &noted.key.source;
            let Some(address) = source.source.to_ip() else { continue };
            if let Some(association) = Association::read(&noted.key.titles) {
                let when = noted.last.map(BootTime::to_timestamp);
                let mut sighting = Sighting::new(address, source.port, source.protocol, when);
                sighting.associate(association);
                self.seen.add(sighting);
            }
        }
        Ok(())
    }
}
