//! A drain: who loses a service by a change of policy, and keeps its connections for a while.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
use pacs_guard_common::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::{
    Draining, Reach,
    compile::{closed, items},
    ranges::{Sets, Width, flatten},
    rulings::{ends, outcome},
};
use crate::{
    boot_time::BootTime,
    clock::Clock,
    policy::model::{Policy, Service, Transport},
};

/// Sources that lose a TCP service, and until when the connections that they have go on.
///
/// A part of the drain: of one segment, on ports that one service protects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The segment that granted it; none where nothing refused the source.
    pub segment: Option<String>,
    /// The service that refuses it now.
    pub service: String,
    ports: Vec<RangeInclusive<u16>>,
    sources: Vec<IpNet>,
    except: Vec<IpNet>,
    end: BootTime,
}

impl Leaving {
    /// When the connections end.
    pub const fn end(&self) -> BootTime {
        self.end
    }

    /// The sources, of which [`Leaving::except`] are taken out.
    pub fn sources(&self) -> &[IpNet] {
        &self.sources
    }

    /// Sources that were let in again since.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.iter().any(|range| range.contains(&port))
    }

    /// What people are told of it.
    pub fn draining(&self) -> Draining {
        let Self { segment, service, ports, end, .. } = self;
        Draining { segment: segment.clone(), service: service.clone(), ports: ports.clone(), end: *end }
    }

    /// The part with more sources let in again; `None` where nobody is left.
    fn without(mut self, again: &Reach) -> Option<Self> {
        self.except.extend(again.prefixes());
        self.except = IpNet::aggregate(&self.except);
        let left = Reach::of_prefixes(&self.sources).beyond(&Reach::of_prefixes(&self.except));
        if left.is_empty() { None } else { Some(self) }
    }
}

/// What a new policy takes away from whoever has it under an old one, each until `end` at the latest: a source whose
/// segment ends before keeps nothing for longer than that.
pub fn leaving(old: &Policy, new: &Policy, clock: Clock, end: BootTime) -> Vec<Leaving> {
    let mut leaving = Vec::new();
    for (index, service) in tcp(new) {
        let again = Reach::of(new, index, clock.wall);
        for (before, ports) in by_owner(&service.ports, old) {
            let holders = match before {
                // Nothing was refused there.
                None => BTreeMap::from([((None, end), Reach::everyone())]),
                Some(before) => holders(old, before, clock, end),
            };
            leaving.extend(holders.into_iter().filter_map(|((segment, end), reach)| {
                let (segment, service, ports) =
                    (segment.map(str::to_owned), service.name.clone(), ports.clone());
                let sources = reach.prefixes();
                Leaving { segment, service, ports, sources, except: Vec::new(), end }.without(&again)
            }));
        }
    }
    leaving
}

/// The drain under a new policy: what goes on of an earlier one, and, where the change has a drain of its own for so long,
/// what the new policy takes away from the old.
pub fn drained(
    going_on: Vec<Leaving>,
    old: Option<&Policy>,
    new: &Policy,
    time: Option<Duration>,
    clock: Clock,
) -> Vec<Leaving> {
    let mut parts = carry(going_on, new, clock);
    if let (Some(old), Some(time)) = (old, time) {
        parts.extend(leaving(old, new, clock, clock.boot.after(time)));
    }
    parts
}

/// What goes on of a drain under another policy. Whoever that lets in has left the drain, and does not come back to it;
/// nobody's time grows or shrinks.
pub fn carry(drain: Vec<Leaving>, policy: &Policy, clock: Clock) -> Vec<Leaving> {
    let services: Vec<(usize, &Service)> = tcp(policy).collect();
    let reaches: BTreeMap<usize, Reach> = match drain.is_empty() {
        true => BTreeMap::new(),
        false => services.iter().map(|(index, _)| (*index, Reach::of(policy, *index, clock.wall))).collect(),
    };
    let live = drain.into_iter().filter(|part| part.end > clock.boot);
    live.flat_map(|part| {
        let owned = by_owner(&part.ports, policy).into_iter();
        let carried = owned.filter_map(|(index, ports)| {
            let index = index?;
            let service = policy.services.get(index)?.name.clone();
            Leaving { ports, service, ..part.clone() }.without(reaches.get(&index)?)
        });
        carried.collect::<Vec<_>>()
    })
    .collect()
}

fn tcp(policy: &Policy) -> impl Iterator<Item = (usize, &Service)> {
    policy.services.iter().enumerate().filter(|(_, service)| service.transport == Transport::Tcp)
}

/// TCP ports by the service of a policy that protects them.
fn by_owner(
    ports: &[RangeInclusive<u16>],
    policy: &Policy,
) -> BTreeMap<Option<usize>, Vec<RangeInclusive<u16>>> {
    let mut owned: BTreeMap<Option<usize>, Vec<RangeInclusive<u16>>> = BTreeMap::new();
    for port in ports.iter().flat_map(|range| range.clone()) {
        let owner = tcp(policy).find(|(_, service)| service.ports.iter().any(|range| range.contains(&port)));
        let ranges = owned.entry(owner.map(|(index, _)| index)).or_default();
        match ranges.last_mut() {
            Some(range) if range.end().checked_add(1) == Some(port) => *range = *range.start()..=port,
            _ => ranges.push(port..=port),
        }
    }
    owned
}

/// Who has a service, by the segment that decides and by when that ends.
fn holders(
    policy: &Policy,
    index: usize,
    clock: Clock,
    end: BootTime,
) -> BTreeMap<(Option<&str>, BootTime), Reach> {
    let Some(service) = policy.services.get(index) else { return BTreeMap::new() };
    let mut holders: BTreeMap<(Option<&str>, BootTime), Reach> = BTreeMap::new();
    for width in [Width::V4, Width::V6] {
        let mut sets = Sets::new();
        let ranges = flatten(items(policy), width, &mut sets);
        let of_sets: Vec<Option<(Option<&str>, BootTime)>> = sets
            .members()
            .iter()
            .map(|set| {
                let drops = |at| outcome(policy, set, index, service, at).verdict == Verdict::Drop;
                if drops(clock.wall) {
                    return None;
                }
                let refused = ends(policy, set, clock.wall).filter(|end| drops(*end)).min();
                let segment = outcome(policy, set, index, service, clock.wall).segment;
                let segment = segment.and_then(|number| policy.segments.get(number));
                Some((
                    segment.map(|segment| segment.name.as_str()),
                    refused.map_or(end, |refused| end.min(clock.boot_time(refused))),
                ))
            })
            .collect();
        for (first, last, range) in closed(&ranges, width) {
            if let Some(Some(holder)) = of_sets.get(range.set as usize) {
                holders.entry(*holder).or_insert_with(Reach::nobody).add(width, first, last);
            }
        }
    }
    holders
}
