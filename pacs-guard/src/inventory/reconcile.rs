//! What is configured against what was seen. It reports, and guesses at nothing: NAT, DHCP and routers are common.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Serialize;

use super::Entry;
use crate::learn::Sightings;

/// Something in which the two differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference {
    /// Configured, and nothing was seen from its address, nor under its AE title.
    NeverSeen {
        /// The entry.
        entry: Entry,
    },
    /// Configured by a host name, which is not looked up, and nothing was seen under its AE title.
    NotComparable {
        /// The entry.
        entry: Entry,
    },
    /// Seen, and no entry has its address.
    NotConfigured {
        /// The address.
        source: IpAddr,
        /// The ports that it spoke to.
        ports: BTreeSet<u16>,
        /// The AE titles that it was seen to call itself; empty where none could be read.
        calling: BTreeSet<String>,
    },
    /// An AE title that is configured at other addresses only.
    Moved {
        /// The AE title.
        ae_title: String,
        /// Where it is configured.
        configured: BTreeSet<String>,
        /// Where it was seen.
        source: IpAddr,
    },
    /// Several AE titles behind one address: NAT, or a router.
    Shared {
        /// The address.
        source: IpAddr,
        /// The AE titles that call from there, seen or configured.
        calling: BTreeSet<String>,
    },
}

/// Compares; the differences come by kind.
pub fn reconcile<'a>(entries: impl Iterator<Item = &'a Entry>, seen: &Sightings) -> Vec<Difference> {
    let mut sources: BTreeMap<IpAddr, (BTreeSet<u16>, BTreeSet<String>)> = BTreeMap::new();
    for sighting in seen.iter() {
        let (ports, calling) = sources.entry(sighting.source).or_default();
        ports.insert(sighting.port);
        calling.extend(sighting.associations.iter().map(|association| association.calling.clone()));
    }
    let entries: Vec<&Entry> = entries.collect();
    let mut hosts_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut titles_at: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for entry in &entries {
        hosts_of.entry(&entry.ae_title).or_default().insert(&entry.host);
        if let Some(address) = entry.address() {
            titles_at.entry(address).or_default().insert(entry.ae_title.clone());
        }
    }
    let spoken: BTreeSet<&str> =
        sources.values().flat_map(|(_, calling)| calling.iter().map(String::as_str)).collect();

    let mut found = Vec::new();
    for entry in &entries {
        let entry = (*entry).clone();
        match entry.address() {
            _ if spoken.contains(entry.ae_title.as_str()) => {}
            Some(address) if sources.contains_key(&address) => {}
            Some(_) => found.push(Difference::NeverSeen { entry }),
            None => found.push(Difference::NotComparable { entry }),
        }
    }
    for (source, (ports, calling)) in &sources {
        if !titles_at.contains_key(source) {
            let (ports, calling) = (ports.clone(), calling.clone());
            found.push(Difference::NotConfigured { source: *source, ports, calling });
        }
    }
    for (source, (_, calling)) in &sources {
        for title in calling {
            let Some(hosts) = hosts_of.get(title.as_str()) else { continue };
            let addresses: Vec<IpAddr> = hosts.iter().filter_map(|host| host.parse().ok()).collect();
            // One of several hosts by name may well be this one.
            if addresses.len() == hosts.len() && !addresses.contains(source) {
                found.push(Difference::Moved {
                    ae_title: title.clone(),
                    configured: hosts.iter().map(|host| (*host).to_owned()).collect(),
                    source: *source,
                });
            }
        }
    }
    let addresses: BTreeSet<IpAddr> = sources.keys().chain(titles_at.keys()).copied().collect();
    for source in addresses {
        let seen = sources.get(&source).map(|(_, calling)| calling.clone()).unwrap_or_default();
        let calling: BTreeSet<String> =
            seen.into_iter().chain(titles_at.get(&source).cloned().unwrap_or_default()).collect();
        if calling.len() > 1 {
            found.push(Difference::Shared { source, calling });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Association, Sighting};

    fn entry(ae_title: &str, host: &str) -> Entry {
        Entry { ae_title: ae_title.into(), host: host.into(), port: 104, name: None }
    }

    fn sightings(rows: &[(&str, &[&str])]) -> Sightings {
        let mut seen = Sightings::default();
        for (source, titles) in rows {
            let mut sighting = Sighting::new(source.parse().unwrap(), 104, 6, None);
            for title in *titles {
                sighting.associate(Association { calling: (*title).into(), called: "ARCHIVE".into() });
            }
            seen.add(sighting);
        }
        seen
    }

    fn set<T: Ord + From<&'static str>>(items: &[&'static str]) -> BTreeSet<T> {
        items.iter().map(|item| T::from(item)).collect()
    }

    #[test]
    fn what_agrees_is_no_difference() {
        let entries = [entry("CT1", "10.0.0.1"), entry("WS1", "ws1.example.org")];
        let seen = sightings(&[("10.0.0.1", &["CT1"])]);
        assert_eq!(reconcile(entries[..1].iter(), &seen), []);
        // Without a title, the address is enough; with one, a host name is no riddle.
        assert_eq!(reconcile(entries[..1].iter(), &sightings(&[("10.0.0.1", &[])])), []);
        let seen = sightings(&[("10.0.0.1", &["CT1"]), ("10.0.0.2", &["WS1"])]);
        let source = "10.0.0.2".parse().unwrap();
        let only = Difference::NotConfigured { source, ports: [104].into(), calling: set(&["WS1"]) };
        assert_eq!(reconcile(entries.iter(), &seen), [only]);
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let entries = [
            entry("CT1", "10.0.0.1"),
            entry("MR1", "10.0.0.2"),
            entry("WS1", "ws1"),
            entry("US1", "10.0.0.4"),
        ];
        let seen = sightings(&[("10.0.0.9", &["MR1"]), ("10.0.0.8", &["A", "B"]), ("10.0.0.4", &["US1"])]);
        let at = |text: &str| text.parse().unwrap();
        let unknown = |source, calling| Difference::NotConfigured { source, ports: [104].into(), calling };
        assert_eq!(
            reconcile(entries.iter(), &seen),
            [
                Difference::NeverSeen { entry: entry("CT1", "10.0.0.1") },
                Difference::NotComparable { entry: entry("WS1", "ws1") },
                unknown(at("10.0.0.8"), set(&["A", "B"])),
                unknown(at("10.0.0.9"), set(&["MR1"])),
                Difference::Moved {
                    ae_title: "MR1".into(),
                    configured: set(&["10.0.0.2"]),
                    source: at("10.0.0.9")
                },
                Difference::Shared { source: at("10.0.0.8"), calling: set(&["A", "B"]) },
            ]
        );
    }

    #[test]
    fn several_titles_configured_at_one_address_are_told() {
        let entries = [entry("A", "10.0.0.1"), entry("B", "10.0.0.1")];
        let found = reconcile(entries.iter(), &sightings(&[("10.0.0.1", &[])]));
        assert_eq!(
            found,
            [Difference::Shared { source: "10.0.0.1".parse().unwrap(), calling: set(&["A", "B"]) }]
        );
    }
}
