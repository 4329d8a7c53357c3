//! The daemon's tally: what came of changes since it started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::{Change, ChangeReport};

/// What came of changes since the daemon started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Changes by kind and result, each as the control socket names it.
    pub changes: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Tally {
    /// Books a change.
    pub fn change(&mut self, change: &Change, report: &ChangeReport) {
        let results = self.changes.entry(tag(change, "change")).or_default();
        *results.entry(tag(report, "result")).or_default() += 1;
    }
}

/// The name by which serde tells a variant from the others.
fn tag(of: &impl Serialize, key: &str) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
