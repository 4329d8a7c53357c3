//! A sighting: one source at one port, whoever saw it. The kernel's maps and captures are both told in these.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;
use pacs_guard_common::packet::Titles;
use serde::{Deserialize, Serialize};

use crate::seen::SeenRecord;

/// Sightings that are kept: four times what the kernel keeps.
pub const MAX_SIGHTINGS: usize = 65_536;
/// Associations that are kept of one source at one port. A router speaks for more, and that it does is known then.
const MAX_ASSOCIATIONS: usize = 16;

/// A source at a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Its address.
    pub source: IpAddr,
    /// The port that it spoke to.
    pub port: u16,
    /// IP protocol number: 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// When it was seen first; `None` where the capture holds no times.
    pub first: Option<Timestamp>,
    /// When it was seen last.
    pub last: Option<Timestamp>,
    /// Connections that it began.
    pub connections: u64,
    /// Packets that it sent; `None` where only connections are counted, as in the kernel's maps.
    pub packets: Option<u64>,
    /// AE titles that it was seen to use. Empty means unknown: TLS hides them, and a request may span segments.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub associations: BTreeSet<Association>,
    /// Whether there were more of them than are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_associations: bool,
}

/// The AE titles of an association, without the spaces around them. Any host can say any title.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Association {
    /// Who calls.
    pub calling: String,
    /// Who is called.
    pub called: String,
}

impl Association {
    /// Reads the titles of a request; `None` where they are no AE titles (PS3.5 section 6.2), and so none was asked.
    pub fn read(titles: &Titles) -> Option<Self> {
        Some(Self { calling: title(&titles.calling)?, called: title(&titles.called)? })
    }
}

fn title(bytes: &[u8]) -> Option<String> {
    let plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\');
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(' ');
    (plain && !text.is_empty()).then(|| text.to_owned())
}

impl Sighting {
    /// Something that was seen once.
    pub fn new(source: IpAddr, port: u16, protocol: u8, when: Option<Timestamp>) -> Self {
        Self {
            source,
            port,
            protocol,
            first: when,
            last: when,
            connections: 0,
            packets: None,
            associations: BTreeSet::new(),
            more_associations: false,
        }
    }

    /// Books the titles of a request.
    pub fn associate(&mut self, association: Association) {
        if self.associations.len() < MAX_ASSOCIATIONS || self.associations.contains(&association) {
            self.associations.insert(association);
        } else {
            self.more_associations = true;
        }
    }

    /// Adds what was seen of the same source at the same port at other times.
    fn add(&mut self, other: Self) {
        let times =
            |one: Option<Timestamp>, other, pick: fn(Timestamp, Timestamp) -> Timestamp| match (one, other) {
                (Some(one), Some(other)) => Some(pick(one, other)),
                (one, other) => one.or(other),
            };
        self.first = times(self.first, other.first, Timestamp::min);
        self.last = times(self.last, other.last, Timestamp::max);
        self.connections += other.connections;
        self.packets = match (self.packets, other.packets) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        self.more_associations |= other.more_associations;
        other.associations.into_iter().for_each(|association| self.associate(association));
    }
}

impl From<&SeenRecord> for Sighting {
    fn from(seen: &SeenRecord) -> Self {
        Self {
            last: Some(seen.last),
            connections: seen.connections,
            ..Self::new(seen.source, seen.port, seen.protocol, Some(seen.first))
        }
    }
}

/// Sightings, each source once a port, in order of address and port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Sightings {
    seen: BTreeMap<(IpAddr, u16, u8), Sighting>,
    /// Sightings of further sources, which are not kept.
    left_out: u64,
}

/// As they are written.
#[derive(Serialize, Deserialize)]
struct Kept {
    sightings: Vec<Sighting>,
    left_out: u64,
}

impl From<Kept> for Sightings {
    fn from(Kept { sightings, left_out }: Kept) -> Self {
        let mut this = Self { left_out, ..Self::default() };
        sightings.into_iter().for_each(|sighting| this.add(sighting));
        this
    }
}

impl From<Sightings> for Kept {
    fn from(Sightings { seen, left_out }: Sightings) -> Self {
        Self { sightings: seen.into_values().collect(), left_out }
    }
}

impl Sightings {
    /// Adds a sighting to what is known of its source at its port.
    pub fn add(&mut self, sighting: Sighting) {
        let key = (sighting.source, sighting.port, sighting.protocol);
        if let Some(known) = self.seen.get_mut(&key) {
            known.add(sighting);
        } else if self.seen.len() < MAX_SIGHTINGS {
            self.seen.insert(key, sighting);
        } else {
            self.left_out += 1;
        }
    }

    /// Puts a newer reading of the same counters in place of an older one: they only grow, so nothing is added up
    /// twice; where they have begun anew, what was counted before is kept as well.
    pub fn replace(&mut self, sighting: Sighting) {
        let key = (sighting.source, sighting.port, sighting.protocol);
        match self.seen.get_mut(&key) {
            Some(known) if known.first.is_some() && known.first == sighting.first => {
                let connections = known.connections.max(sighting.connections);
                known.add(Sighting { connections: 0, ..sighting });
                known.connections = connections;
            }
            _ => self.add(sighting),
        }
    }

    /// All of them, by address and port.
    pub fn iter(&self) -> impl Iterator<Item = &Sighting> {
        self.seen.values()
    }

    /// Sightings that were not kept, for there were too many sources.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(source: &str, second: i64) -> Sighting {
        Sighting {
            connections: 1,
            ..Sighting::new(source.parse().unwrap(), 104, 6, Some(Timestamp::from_second(second).unwrap()))
        }
    }

    #[test]
    fn what_is_seen_of_one_source_adds_up() {
        let mut seen = Sightings::default();
        seen.add(sighting("10.0.0.1", 5));
        seen.add(Sighting { packets: Some(3), ..sighting("10.0.0.1", 2) });
        seen.add(sighting("10.0.0.2", 9));
        let all: Vec<_> = seen.iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].connections, all[0].packets), (2, Some(3)));
        assert_eq!(all[0].first.unwrap().as_second()..all[0].last.unwrap().as_second(), 2..5);
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<Sightings>(&text).unwrap(), seen);
    }

    #[test]
    fn a_newer_reading_of_the_same_counters_counts_nothing_twice() {
        let mut seen = Sightings::default();
        for connections in [3, 5, 5] {
            seen.replace(Sighting { connections, ..sighting("10.0.0.1", 1) });
        }
        assert_eq!(seen.iter().next().unwrap().connections, 5);
        // The kernel forgot it, and began anew.
        seen.replace(Sighting { connections: 2, ..sighting("10.0.0.1", 60) });
        assert_eq!(seen.iter().next().unwrap().connections, 7);
    }

    #[test]
    fn titles_are_trimmed_and_garbage_is_unknown() {
        let titles = |calling: &[u8; 16]| Titles { called: *b"ARCHIVE         ", calling: *calling };
        let read = Association::read(&titles(b"CT 1            ")).unwrap();
        assert_eq!((read.calling.as_str(), read.called.as_str()), ("CT 1", "ARCHIVE"));
        for bad in [b"                ", b"CT\x1b[31m         ", b"CT\\1            ", b"\xffT1             "]
        {
            assert_eq!(Association::read(&titles(bad)), None);
        }
    }

    #[test]
    fn associations_and_sources_are_bounded() {
        let mut one = sighting("10.0.0.1", 1);
        for n in 0..100 {
            one.associate(Association { calling: format!("CT{n}"), called: "A".into() });
        }
        assert_eq!((one.associations.len(), one.more_associations), (MAX_ASSOCIATIONS, true));
        let mut seen = Sightings::default();
        for n in 0..MAX_SIGHTINGS as u32 + 3 {
            seen.add(Sighting::new(std::net::Ipv4Addr::from(n).into(), 104, 6, None));
        }
        assert_eq!((seen.iter().count(), seen.left_out()), (MAX_SIGHTINGS, 3));
    }
}
