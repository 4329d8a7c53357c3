//! Segments: their prefixes and grants, before and after.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Kind;
use crate::policy::model::{Policy, Segment, Source};

/// How one segment changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentChange {
    /// Its name.
    pub segment: String,
    /// Whether it is new, gone, or another.
    pub kind: Kind,
    /// Prefixes that only the new one has.
    pub sources_added: Vec<String>,
    /// Prefixes that only the old one has, and that no segment takes over.
    pub sources_removed: Vec<String>,
    /// Prefixes that another segment takes over: which, and where to.
    pub sources_moved: Vec<String>,
    /// Exceptions that only the new one has.
    pub except_added: Vec<String>,
    /// Exceptions that only the old one has.
    pub except_removed: Vec<String>,
    /// Services that only the new one is granted.
    pub granted: Vec<String>,
    /// Services that only the old one is granted.
    pub revoked: Vec<String>,
    /// Whether its own mode changes.
    pub mode: bool,
    /// Whether it ends at another time, or one of both does not end at all.
    pub until: bool,
}

pub(super) fn changes(old: Option<&Policy>, new: &Policy) -> Vec<SegmentChange> {
    let gone = old.into_iter().flat_map(|old| &old.segments);
    let gone = gone.filter(|segment| find(Some(new), &segment.name).is_none());
    let names = gone.chain(&new.segments).map(|segment| segment.name.as_str());
    names
        .filter_map(|name| {
            let (before, after) = (find(old, name), find(Some(new), name));
            let kind = match (before, after) {
                (None, _) => Kind::Added,
                (_, None) => Kind::Removed,
                _ => Kind::Changed,
            };
            let sources = |segment: Option<&Segment>| prefixes(segment.map(|segment| &segment.sources));
            let except = |segment: Option<&Segment>| prefixes(segment.map(|segment| &segment.except));
            let (sources_before, sources_after) = (sources(before), sources(after));
            let (except_before, except_after) = (except(before), except(after));
            let (grants_before, grants_after) = (grants(old, before), grants(Some(new), after));
            let mut sources_removed = Vec::new();
            let mut sources_moved = Vec::new();
            for prefix in without(&sources_before, &sources_after) {
                match new_home(&prefix, name, old, new) {
                    Some(home) => sources_moved.push(format!("{prefix} to {home}")),
                    None => sources_removed.push(prefix),
                }
            }
            let change = SegmentChange {
                segment: name.to_owned(),
                kind,
                sources_added: without(&sources_after, &sources_before),
                sources_removed,
                sources_moved,
                except_added: without(&except_after, &except_before),
                except_removed: without(&except_before, &except_after),
                granted: without(&grants_after, &grants_before),
                revoked: without(&grants_before, &grants_after),
                mode: before.zip(after).is_some_and(|(old, new)| old.mode != new.mode),
                until: before.zip(after).is_some_and(|(old, new)| old.until != new.until),
            };
            let same = sources_before == sources_after
                && except_before == except_after
                && grants_before == grants_after
                && !change.mode
                && !change.until;
            if same { None } else { Some(change) }
        })
        .collect()
}

fn find<'a>(policy: Option<&'a Policy>, name: &str) -> Option<&'a Segment> {
    policy?.segments.iter().find(|segment| segment.name == name)
}

/// The segment that has the prefix now, and had it not.
fn new_home<'a>(prefix: &str, from: &str, old: Option<&Policy>, new: &'a Policy) -> Option<&'a str> {
    let holds = |segment: &Segment| segment.sources.iter().any(|source| source.prefix.to_string() == prefix);
    let held = |name: &str| {
        let segments = old.into_iter().flat_map(|old| &old.segments);
        segments.filter(|segment| segment.name == name).any(holds)
    };
    let homes = new.segments.iter().filter(|segment| segment.name != from && holds(segment));
    homes.map(|segment| segment.name.as_str()).find(|name| !held(name))
}

fn prefixes(sources: Option<&Vec<Source>>) -> BTreeSet<String> {
    sources.into_iter().flatten().map(|source| source.prefix.to_string()).collect()
}

fn grants(policy: Option<&Policy>, segment: Option<&Segment>) -> BTreeSet<String> {
    let (Some(policy), Some(segment)) = (policy, segment) else { return BTreeSet::new() };
    segment.services.iter().filter_map(|at| Some(policy.services.get(*at)?.name.clone())).collect()
}

fn without(these: &BTreeSet<String>, those: &BTreeSet<String>) -> Vec<String> {
    these.difference(those).cloned().collect()
}
