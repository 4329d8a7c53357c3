//! The daemon's tally: what came of changes and echoes since it started.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    control::{Change, ChangeReport},
    echo::{Phases, Report},
};

/// What came of changes and echoes since the daemon started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Changes by kind and result, each as the control socket names it.
    pub changes: BTreeMap<String, BTreeMap<String, u64>>,
    /// The policy's peers that were asked.
    pub echo: BTreeMap<String, PeerTally>,
}

/// What came of asking one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerTally {
    /// Times by outcome: `answered`, or the kind of failure.
    pub outcomes: BTreeMap<String, u64>,
    /// Whether it answered the last time.
    pub answers: bool,
    /// When it was asked last.
    pub when: Timestamp,
    /// How long that took, in microseconds: TCP connection, TLS, association, C-ECHO.
    pub phases: [Option<u64>; 4],
}

impl Tally {
    /// Books a change.
    pub fn change(&mut self, change: &Change, report: &ChangeReport) {
        let results = self.changes.entry(tag(change, "change")).or_default();
        *results.entry(tag(report, "result")).or_default() += 1;
    }

    /// Books an answer, or that there was none.
    pub fn echo(&mut self, report: &Report) {
        let Phases { connect_us, tls_us, associate_us, echo_us } = report.phases;
        let mut outcomes = self.echo.remove(&report.peer).map(|before| before.outcomes).unwrap_or_default();
        let outcome = report.outcome.as_ref().map_or_else(|failure| failure.kind(), |_| "answered");
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
        let phases = [connect_us, tls_us, associate_us, echo_us];
        let peer = PeerTally { outcomes, answers: report.outcome.is_ok(), when: report.when, phases };
        self.echo.insert(report.peer.clone(), peer);
    }

    /// Forgets the peers that the policy no longer names.
    pub fn keep_peers(&mut self, named: impl Fn(&str) -> bool) {
        self.echo.retain(|peer, _| named(peer));
    }
}

/// The name by which serde tells a variant from the others.
fn tag(of: &impl Serialize, key: &str) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
