//! Services: who reaches them before and after.

use jiff::Timestamp;
use serde::Serialize;

use super::Kind;
use crate::{
    image::{Reach, Size},
    policy::model::{Policy, Service},
};

/// How one service changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    /// Its name.
    pub service: String,
    /// Whether it is new, gone, or another.
    pub kind: Kind,
    /// Source addresses that reach it, and did not.
    pub opened: Size,
    /// Source addresses that reached it, and no longer do.
    pub closed: Size,
    /// Ports that come under protection.
    pub claimed: Vec<String>,
    /// Ports that lose their protection: they are open to everyone.
    pub released: Vec<String>,
    /// What else of it changes.
    pub others: Vec<&'static str>,
}

pub(super) fn changes(old: Option<&Policy>, new: &Policy) -> Vec<ServiceChange> {
    let find = |policy: Option<&Policy>, name: &str| {
        policy?.services.iter().position(|service| service.name == name)
    };
    let gone = old.into_iter().flat_map(|old| &old.services);
    let gone = gone.filter(|service| find(Some(new), &service.name).is_none());
    let names = new.services.iter().chain(gone).map(|service| service.name.as_str());
    names
        .filter_map(|name| change(name, old.zip(find(old, name)), find(Some(new), name).map(|at| (new, at))))
        .collect()
}

fn change(name: &str, old: Option<(&Policy, usize)>, new: Option<(&Policy, usize)>) -> Option<ServiceChange> {
    let now = Timestamp::now();
    let reach = |side: Option<(&Policy, usize)>| {
        side.map_or_else(Reach::everyone, |(policy, at)| Reach::of(policy, at, now))
    };
    let (before, after) = (reach(old), reach(new));
    let (old, new) = (service(old), service(new));
    let kind = match (old, new) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        _ => Kind::Changed,
    };
    let (old_ports, new_ports) = (ports(old), ports(new));
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|port| !those.contains(port)).cloned().collect()
    };
    let mut others = Vec::new();
    if let (Some(old), Some(new)) = (old, new) {
        if old.transport != new.transport {
            others.push("transport");
        }
        if old.addresses != new.addresses {
            others.push("addresses");
        }
        if old.reset_to != new.reset_to {
            others.push("reset_to");
        }
    }
    let change = ServiceChange {
        service: name.to_owned(),
        kind,
        opened: after.beyond(&before),
        closed: before.beyond(&after),
        claimed: without(&new_ports, &old_ports),
        released: without(&old_ports, &new_ports),
        others,
    };
    let nothing = change.opened.is_empty()
        && change.closed.is_empty()
        && change.claimed.is_empty()
        && change.released.is_empty()
        && change.others.is_empty();
    if nothing { None } else { Some(change) }
}

fn service(side: Option<(&Policy, usize)>) -> Option<&Service> {
    side.and_then(|(policy, at)| policy.services.get(at))
}

/// The ports and ranges of a service, as text.
fn ports(service: Option<&Service>) -> Vec<String> {
    let ranges = service.into_iter().flat_map(|service| &service.ports);
    ranges
        .map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect()
}
