//! How each peer of the policy stands: every number that status and metrics show of C-ECHO.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    EXPIRY_WARNING_DAYS, Report,
    baseline::{Baselines, Change, Heard},
};
use crate::policy::model::Peer;

/// One peer, since the daemon started; its baseline is older.
#[derive(Clone, Debug, Serialize)]
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
    /// C-ECHOs asked.
    pub asked: u64,
    /// Those that failed, by [`super::Failure::kind`].
    pub failures: BTreeMap<&'static str, u64>,
    /// The last success.
    pub last_success: Option<Timestamp>,
    /// Days until its certificate ends, as of the last success; negative once it has ended.
    pub certificate_days: Option<i64>,
    /// Since when its baseline counts.
    pub baseline_since: Option<Timestamp>,
    /// Where it differs from its baseline.
    pub drift: Vec<Change>,
    /// The last C-ECHO.
    pub last: Option<Report>,
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
            asked: 0,
            failures: BTreeMap::new(),
            last_success: None,
            certificate_days: None,
            baseline_since: None,
            drift: vec![],
            last: None,
        }
    }

    /// Time since the last success.
    #[must_use]
    pub fn last_success_age(&self, now: Timestamp) -> Option<Duration> {
        self.last_success.map(|then| now.duration_since(then).try_into().unwrap_or_default())
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
            let mut standing = Standing::new(peer);
            if let Some(known) = old.remove(&peer.name) {
                let Standing { asked, failures, last_success, certificate_days, last, .. } = known;
                standing = Standing { asked, failures, last_success, certificate_days, last, ..standing };
            }
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
    pub fn hear(&mut self, report: Report, baselines: &mut Baselines) -> Vec<String> {
        let Some(standing) = self.0.get_mut(&report.peer) else { return vec![] };
        let mut warnings = vec![];
        let name = report.peer.clone();
        standing.asked += 1;
        match &report.outcome {
            Err(failure) => *standing.failures.entry(failure.kind()).or_default() += 1,
            Ok(identity) => {
                standing.last_success = Some(report.when);
                standing.certificate_days = identity.certificate_days(report.when);
                if let Some(days) = standing.certificate_days.filter(|days| *days < EXPIRY_WARNING_DAYS) {
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
        }
        standing.last = Some(report);
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
    use crate::{
        echo::{Failure, Identity, Phases},
        policy,
    };

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
        assert_eq!(standings.hear(report("CT1", Ok(said)), &mut baselines), [""; 0]);
        standings.hear(report("CT1", Err(Failure::Refused)), &mut baselines);
        let warned = standings.hear(report("CT1", Ok(Identity::default())), &mut baselines);
        assert!(warned[0].contains("maximum PDU length was 1, is nothing; if that was you"), "{warned:?}");
        standings.hear(report("CT9", Err(Failure::Refused)), &mut baselines);
        standings.follow(&peers(&ct.replace("ae_title: CT1", "ae_title: CT2")), &baselines);
        let all: Vec<_> = standings.iter().collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].asked, all[0].failures.get("refused"), all[0].drift.len()), (3, Some(&1), 1));
        assert_eq!(all[0].ae_title, "CT2");
        let later = Timestamp::from_second(90).unwrap();
        assert_eq!(all[0].last_success_age(later), Some(Duration::from_secs(90)));
        standings.follow(&[], &baselines);
        assert_eq!(standings.iter().count(), 0);
    }
}
