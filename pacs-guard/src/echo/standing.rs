//! How each peer of the policy stands: every number that status and metrics show of C-ECHO.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    EXPIRY_WARNING_DAYS, Failure, Phases, Report,
    baseline::{Baselines, Change, Heard},
    tls::days_until,
};
use crate::policy::model::Peer;

/// The outcome that is no failure.
const ANSWERED: &str = "answered";

/// One peer, since the daemon started; its baseline is older.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its name in the policy.
    pub peer: String,
    /// Its address.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// The AE title that is called.
    pub ae_title: String,
    /// Whether it is asked over TLS.
    pub tls: bool,
    /// Seconds between two C-ECHOs; `None` where it is only asked by hand.
    pub every_s: Option<u64>,
    /// It is never asked.
    pub do_not_probe: bool,
    /// C-ECHOs by outcome: `answered`, or [`super::Failure::kind`].
    pub outcomes: BTreeMap<String, u64>,
    /// Whether it answered the last time.
    pub answers: Option<bool>,
    /// When it was asked last.
    pub asked_last: Option<Timestamp>,
    /// How long that took.
    pub phases: Phases,
    /// When it answered last.
    pub last_success: Option<Timestamp>,
    /// When the certificate ends that it showed then.
    pub certificate_expires: Option<Timestamp>,
    /// Since when its baseline counts.
    pub baseline_since: Option<Timestamp>,
    /// Where it differs from its baseline.
    pub drift: Vec<Change>,
    /// The last [`Report`].
    pub last: Value,
}

impl Standing {
    fn new(peer: &Peer) -> Self {
        Self {
            peer: peer.name.clone(),
            address: peer.address,
            port: peer.port,
            ae_title: peer.ae_title.clone(),
            tls: peer.tls.is_some(),
            every_s: peer.every.as_ref().map(Duration::as_secs),
            do_not_probe: peer.do_not_probe,
            outcomes: BTreeMap::new(),
            answers: None,
            asked_last: None,
            phases: Phases::default(),
            last_success: None,
            certificate_expires: None,
            baseline_since: None,
            drift: vec![],
            last: Value::Null,
        }
    }

    /// Days until its certificate ends; negative once it has ended.
    #[must_use]
    pub fn certificate_days(&self, now: Timestamp) -> Option<i64> {
        self.certificate_expires.map(|expires| days_until(expires, now))
    }

    /// C-ECHOs asked, and those that failed.
    #[must_use]
    pub fn asked_and_failed(&self) -> (u64, u64) {
        let asked = self.outcomes.values().sum();
        (asked, asked - self.outcomes.get(ANSWERED).unwrap_or(&0))
    }
}

/// The peers of the policy in force, by name.
#[derive(Debug, Default)]
pub struct Standings(BTreeMap<String, Standing>);

impl Standings {
    /// Takes a new list of peers: one that stays keeps its numbers.
    pub fn follow(&mut self, peers: &[Peer], baselines: &Baselines) {
        let mut old = std::mem::take(&mut self.0);
        for peer in peers {
            let fresh = Standing::new(peer);
            let standing = match old.remove(&peer.name) {
                None => fresh,
                Some(known) => Standing {
                    address: fresh.address,
                    port: fresh.port,
                    ae_title: fresh.ae_title,
                    tls: fresh.tls,
                    every_s: fresh.every_s,
                    do_not_probe: fresh.do_not_probe,
                    ..known
                },
            };
            self.0.insert(peer.name.clone(), standing);
            self.compare(&peer.name, baselines);
        }
    }

    /// Takes over what is known of a peer's identity.
    pub fn compare(&mut self, name: &str, baselines: &Baselines) {
        if let Some((standing, baseline)) = self.0.get_mut(name).zip(baselines.get(name)) {
            standing.baseline_since = Some(baseline.since);
            standing.drift = baseline.changes();
        }
    }

    /// Books a C-ECHO, and returns what is worth a warning. A peer that the policy no longer names is left out.
    pub fn hear(&mut self, report: &Report, baselines: &mut Baselines) -> Vec<String> {
        let Some(standing) = self.0.get_mut(&report.peer) else { return vec![] };
        let mut warnings = vec![];
        let name = report.peer.clone();
        let outcome = report.outcome.as_ref().map_or_else(Failure::kind, |_| ANSWERED);
        *standing.outcomes.entry(outcome.to_owned()).or_default() += 1;
        standing.answers = Some(report.outcome.is_ok());
        standing.asked_last = Some(report.when);
        standing.phases = report.phases;
        standing.last = serde_json::to_value(report).unwrap_or_default();
        if let Ok(identity) = &report.outcome {
            standing.last_success = Some(report.when);
            standing.certificate_expires =
                identity.certificate.as_ref().map(|certificate| certificate.expires);
            let days = standing.certificate_days(report.when);
            if let Some(days) = days.filter(|days| *days < EXPIRY_WARNING_DAYS) {
                warnings.push(format!("peer {name}: its certificate ends in {days} days"));
            }
            let (heard, saved) = baselines.hear(&name, identity, report.when);
            match heard {
                Heard::First => tracing::info!(
                    "peer {name} is heard for the first time: what it says of itself is its baseline from now on"
                ),
                Heard::Same => {}
                Heard::Returned => tracing::info!("peer {name} is as its baseline again"),
                Heard::Drifted(changes) => warnings.push(format!(
                    "peer {name} has changed: {}; if that was you, `pacs-guard peer accept {name}`",
                    in_words(&changes)
                )),
            }
            if let Err(why) = saved {
                warnings.push(format!("what peer {name} says of itself is not kept: {why}"));
            }
        }
        self.compare(&name, baselines);
        warnings
    }

    /// The peers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Standing> {
        self.0.values()
    }
}

/// Changes as one line.
pub fn in_words(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{echo::Identity, policy};

    fn peers(text: &str) -> Vec<Peer> {
        let policy = format!(
            "version: 1\nname: p\ninterfaces: [eth0]\nmode: audit\nservices: {{ dicom: {{ ports: [104] }} }}\n\
             segments: {{ m: {{ sources: [10.0.0.0/24], services: [dicom] }} }}\npeers:\n{text}"
        );
        policy::parse(std::path::Path::new("p.yaml"), policy).unwrap().policy.peers
    }

    fn report(peer: &str, outcome: Result<Identity, Failure>) -> Report {
        Report {
            peer: peer.into(),
            address: "10.0.0.1".parse().unwrap(),
            port: 104,
            when: Timestamp::UNIX_EPOCH,
            phases: Phases::default(),
            outcome,
        }
    }

    #[test]
    fn numbers_stay_over_a_reload_and_leave_with_the_peer() {
        let folder = tempfile::tempdir().unwrap();
        let mut baselines = Baselines::open(folder.path()).unwrap();
        let mut standings = Standings::default();
        let ct = "  - { name: CT1, address: 10.0.0.1, port: 104, ae_title: CT1 }\n";
        standings.follow(&peers(ct), &baselines);
        let said = Identity { max_pdu: Some(1), ..Identity::default() };
        assert_eq!(standings.hear(&report("CT1", Ok(said)), &mut baselines), [""; 0]);
        standings.hear(&report("CT1", Err(Failure::Refused)), &mut baselines);
        let warned = standings.hear(&report("CT1", Ok(Identity::default())), &mut baselines);
        assert!(warned[0].contains("maximum PDU length was 1, is nothing; if that was you"), "{warned:?}");
        standings.hear(&report("CT9", Err(Failure::Refused)), &mut baselines);
        standings.follow(&peers(&ct.replace("ae_title: CT1", "ae_title: CT2")), &baselines);
        let all: Vec<_> = standings.iter().collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].asked_and_failed(), all[0].outcomes.get("refused")), ((3, 1), Some(&1)));
        assert_eq!((all[0].drift.len(), all[0].last_success), (1, Some(Timestamp::UNIX_EPOCH)));
        assert_eq!(all[0].ae_title, "CT2");
        standings.follow(&[], &baselines);
        assert_eq!(standings.iter().count(), 0);
    }
}
