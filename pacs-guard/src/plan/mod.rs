//! The plan: what would change if one policy took the place of another.

mod cut;
mod segments;
mod services;

use serde::Serialize;

use crate::policy::model::Policy;

pub use cut::{Cut, Lost, Step};
pub use segments::SegmentChange;
pub use services::ServiceChange;

/// The difference of two policies, as people think of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What changes in who reaches what.
    pub services: Vec<ServiceChange>,
    /// What changes in the segments themselves.
    pub segments: Vec<SegmentChange>,
    /// What else changes.
    pub others: Vec<String>,
}

/// Whether something is new, gone, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Only the new policy has it.
    Added,
    /// Only the old policy has it.
    Removed,
    /// Both have it, and it differs.
    Changed,
}

impl Plan {
    /// Compares two policies; `None` stands for no policy, under which every port is open to everyone.
    pub fn new(old: Option<&Policy>, new: &Policy) -> Self {
        let mut others = Vec::new();
        if let Some(old) = old {
            let mut differs = |what: &str, differs: bool| {
                if differs {
                    others.push(format!("{what} changes"));
                }
            };
            differs("the list of interfaces", old.interfaces != new.interfaces);
            differs("the list of peers to spot-check", !same_peers(old, new));
            differs("what happens to unparsed packets", old.unparsed != new.unparsed);
            differs("the policy's name", old.name != new.name);
        }
        Self { services: services::changes(old, new), segments: segments::changes(old, new), others }
    }

    /// Whether some source gets what was refused to it.
    pub fn widens(&self) -> bool {
        self.services.iter().any(|service| !service.opened.is_empty() || !service.released.is_empty())
    }

    /// Whether some source is refused what it got.
    pub fn narrows(&self) -> bool {
        self.services.iter().any(|service| !service.closed.is_empty() || !service.claimed.is_empty())
    }

    /// Whether nothing at all changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn same_peers(old: &Policy, new: &Policy) -> bool {
    let facts = |policy: &Policy| -> Vec<_> {
        let peers = policy.peers.iter();
        peers
            .map(|peer| (peer.name.clone(), peer.address, peer.port, peer.ae_title.clone(), peer.every))
            .collect()
    };
    facts(old) == facts(new)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy;

    const OLD: &str = "
version: 1
name: old
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
  web: { ports: [8042], mode: audit }
segments:
  modalities: { sources: [10.20.0.0/24, 10.21.0.0/24], services: [dicom] }
  viewers: { sources: [10.30.0.0/24], services: [dicom, web] }
";

    fn read(text: &str) -> Policy {
        policy::parse(Path::new("p.yaml"), text).unwrap().policy
    }

    fn plan(from: &str, to: &str) -> Plan {
        assert!(OLD.contains(from), "{from}");
        Plan::new(Some(&read(OLD)), &read(&OLD.replace(from, to)))
    }

    #[test]
    fn the_same_policy_changes_nothing() {
        assert!(plan("old", "old").is_empty());
    }

    #[test]
    fn a_wider_source_widens() {
        let plan = plan("10.30.0.0/24", "10.30.0.0/23");
        assert!(plan.widens() && !plan.narrows());
        assert_eq!(plan.services.len(), 1, "audit lets everyone reach the web before and after: {plan:?}");
        assert_eq!(plan.services[0].opened.ipv4, 256);
        assert_eq!(plan.segments[0].sources_added, ["10.30.0.0/23"]);
    }

    #[test]
    fn enforcing_narrows_by_all_but_the_segment() {
        let plan = plan(", mode: audit", "");
        assert!(plan.narrows() && !plan.widens());
        assert_eq!(plan.services[0].closed.ipv4, (1 << 32) - 256);
    }

    #[test]
    fn a_port_that_is_no_longer_protected_widens() {
        let plan = plan("[104, 11112]", "[104]");
        assert!(plan.widens() && !plan.narrows());
        assert_eq!(plan.services[0].released, ["11112"]);
    }

    #[test]
    fn a_source_that_moves_is_told_as_such() {
        let old = "10.20.0.0/24, 10.21.0.0/24], services: [dicom] }\n  viewers: { sources: [10.30.0.0/24";
        let new = "10.20.0.0/24], services: [dicom] }\n  viewers: { sources: [10.30.0.0/24, 10.21.0.0/24";
        let plan = plan(old, new);
        assert!(!plan.widens() && !plan.narrows(), "both segments are granted dicom: {plan:?}");
        assert_eq!(plan.segments[0].sources_moved, ["10.21.0.0/24 to viewers"]);
        assert!(plan.segments[0].sources_removed.is_empty());
    }

    #[test]
    fn the_first_policy_narrows() {
        let plan = Plan::new(None, &read(OLD));
        assert!(plan.narrows() && !plan.widens());
        assert_eq!(plan.services[0].kind, Kind::Added);
    }
}
