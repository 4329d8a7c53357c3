//! What each peer said of itself when it was first heard, kept on disk, and whether it still says so.
//!
//! A change is told and never acted upon: an update of a device looks just like another device in its place.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Certificate, Identity, Printable};
use crate::state::{StateError, at, read_json, write_whole};

/// Peers that are remembered. A policy has no more; of those that it no longer names, whoever sorts last goes.
const MOST: usize = 8192;

/// The peers that were ever heard, by name: `peers.json` in the state folder.
#[derive(Debug, Default)]
pub struct Baselines {
    path: PathBuf,
    peers: BTreeMap<String, Baseline>,
}

/// What a peer said first, or what was accepted since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it said.
    #[serde(flatten)]
    pub identity: Identity,
    /// When it was first heard, or accepted.
    pub since: Timestamp,
    /// What it says instead, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// What a peer says that its baseline does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What it says.
    #[serde(flatten)]
    pub identity: Identity,
    /// Since when.
    pub since: Timestamp,
}

/// What hearing a peer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing was known of it: this is its baseline from now on.
    First,
    /// It is as it was.
    Same,
    /// It has changed since it was heard last.
    Drifted(Vec<Change>),
    /// It had changed, and is as its baseline again.
    Returned,
}

/// One thing that a peer says of itself, in its baseline and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is.
    pub what: Cow<'static, str>,
    /// In the baseline; `None` where it said nothing.
    pub was: Option<String>,
    /// Now.
    pub is: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{} was {}, is {}", self.what, text(&self.was), text(&self.is))
    }
}

/// Where two identities differ.
fn changes(was: &Identity, is: &Identity) -> Vec<Change> {
    // The file is ours, but whoever writes to it should not drive a terminal either.
    let text = |value: &Option<String>| value.as_ref().map(|text| Printable(text).to_string());
    let fingerprint =
        |identity: &Identity| identity.certificate.as_ref().map(|Certificate { sha256, .. }| sha256.clone());
    let rows = [
        ("implementation class UID", text(&was.implementation_class_uid), text(&is.implementation_class_uid)),
        (
            "implementation version name",
            text(&was.implementation_version_name),
            text(&is.implementation_version_name),
        ),
        ("maximum PDU length", was.max_pdu.map(|n| n.to_string()), is.max_pdu.map(|n| n.to_string())),
        ("certificate", fingerprint(was), fingerprint(is)),
    ];
    rows.into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| Change { what: what.into(), was, is })
        .collect()
}

impl Baseline {
    /// Where the peer differs from it now.
    pub fn changes(&self) -> Vec<Change> {
        self.drift.as_ref().map_or_else(Vec::new, |drift| changes(&self.identity, &drift.identity))
    }
}

impl Baselines {
    /// Reads what is kept in a state folder; nothing, where nothing is.
    ///
    /// # Errors
    /// Where the file is there and can't be read: what it holds is not to be overwritten.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join("peers.json");
        let peers = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, peers })
    }

    /// The peers by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Baseline)> {
        self.peers.iter().map(|(name, baseline)| (name.as_str(), baseline))
    }

    /// One peer.
    pub fn get(&self, name: &str) -> Option<&Baseline> {
        self.peers.get(name)
    }

    /// Compares what a peer says with its baseline; the file is written only where something is new.
    ///
    /// # Errors
    /// Where the file can't be written. What was heard counts all the same, as long as this lives.
    pub fn hear(&mut self, name: &str, said: &Identity, when: Timestamp) -> (Heard, Result<(), StateError>) {
        let heard = match self.peers.get_mut(name) {
            None => {
                if self.peers.len() >= MOST {
                    self.peers.pop_last();
                }
                let baseline = Baseline { identity: said.clone(), since: when, drift: None };
                self.peers.insert(name.to_owned(), baseline);
                Heard::First
            }
            Some(known) => {
                let changes = changes(&known.identity, said);
                match &known.drift {
                    None if changes.is_empty() => Heard::Same,
                    Some(_) if changes.is_empty() => {
                        known.drift = None;
                        Heard::Returned
                    }
                    Some(drift) if self::changes(&drift.identity, said).is_empty() => Heard::Same,
                    _ => {
                        known.drift = Some(Drift { identity: said.clone(), since: when });
                        Heard::Drifted(changes)
                    }
                }
            }
        };
        let saved = if heard == Heard::Same { Ok(()) } else { self.save() };
        (heard, saved)
    }

    /// Takes what a peer says now as its baseline; where it has changed, and the answer is in what.
    ///
    /// # Errors
    /// Where the file can't be written; then nothing is accepted.
    pub fn accept(&mut self, name: &str, now: Timestamp) -> Result<Accepted, StateError> {
        let Some(known) = self.peers.get_mut(name) else { return Ok(Accepted::Unknown) };
        let changes = known.changes();
        let Some(drift) = known.drift.take() else { return Ok(Accepted::Unchanged) };
        let before =
            std::mem::replace(known, Baseline { identity: drift.identity.clone(), since: now, drift: None });
        let saved = self.save();
        if saved.is_err() {
            self.peers.insert(name.to_owned(), Baseline { drift: Some(drift), ..before });
        }
        saved.map(|()| Accepted::Changed(changes))
    }

    fn save(&self) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(&self.peers).map_err(io::Error::from).map_err(at(&self.path))?;
        write_whole(&self.path, &text)
    }
}

/// What came of accepting a peer as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// It was never heard.
    Unknown,
    /// It has not changed.
    Unchanged,
    /// It is known with these changes from now on.
    Changed(Vec<Change>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(version: &str) -> Identity {
        Identity {
            implementation_class_uid: Some("1.2.3".into()),
            implementation_version_name: Some(version.into()),
            max_pdu: Some(16_384),
            certificate: None,
        }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn the_first_contact_is_the_baseline_and_a_change_stays_until_it_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let mut peers = Baselines::open(folder.path()).unwrap();
        let hear = |peers: &mut Baselines, version: &str| {
            let (heard, saved) = peers.hear("CT1", &said(version), NOW);
            saved.unwrap();
            heard
        };
        assert_eq!(hear(&mut peers, "V1"), Heard::First);
        assert_eq!(hear(&mut peers, "V1"), Heard::Same);
        let Heard::Drifted(changes) = hear(&mut peers, "V2") else { panic!("no drift") };
        assert_eq!(changes[0].to_string(), "implementation version name was V1, is V2");
        assert_eq!(hear(&mut peers, "V2"), Heard::Same, "it is told once");
        // A restart forgets nothing.
        let mut peers = Baselines::open(folder.path()).unwrap();
        assert_eq!(peers.get("CT1").unwrap().changes(), changes);
        assert_eq!(hear(&mut peers, "V1"), Heard::Returned);
        assert_eq!(peers.accept("CT1", NOW).unwrap(), Accepted::Unchanged);
        assert!(matches!(hear(&mut peers, "V3"), Heard::Drifted(_)));
        assert!(matches!(peers.accept("CT1", NOW).unwrap(), Accepted::Changed(_)));
        assert_eq!(peers.accept("CT9", NOW).unwrap(), Accepted::Unknown);
        let mut peers = Baselines::open(folder.path()).unwrap();
        assert_eq!(hear(&mut peers, "V3"), Heard::Same);
    }

    #[test]
    fn each_part_of_an_identity_is_compared() {
        let certificate = |sha256: &str| Some(Certificate { sha256: sha256.into(), expires: NOW });
        let base = Identity { certificate: certificate("aa"), ..said("V1") };
        let others = [
            ("implementation class UID", Identity { implementation_class_uid: None, ..base.clone() }),
            ("implementation version name", Identity { implementation_version_name: None, ..base.clone() }),
            ("maximum PDU length", Identity { max_pdu: Some(0), ..base.clone() }),
            ("certificate", Identity { certificate: certificate("bb"), ..base.clone() }),
        ];
        for (what, other) in others {
            let found = changes(&base, &other);
            assert_eq!(found.iter().map(|change| change.what.as_ref()).collect::<Vec<_>>(), [what]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("peers.json"), "{").unwrap();
        let why = Baselines::open(folder.path()).unwrap_err();
        assert!(why.to_string().contains("peers.json"), "{why}");
    }

    #[test]
    fn what_cannot_be_written_is_not_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let mut peers = Baselines::open(folder.path()).unwrap();
        peers.hear("CT1", &said("V1"), NOW).1.unwrap();
        peers.hear("CT1", &said("V2"), NOW).1.unwrap();
        folder.close().unwrap();
        peers.accept("CT1", NOW).unwrap_err();
        assert_eq!(peers.get("CT1").unwrap().changes().len(), 1);
    }
}
