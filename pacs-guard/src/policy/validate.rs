//! From the document to the model: all mistakes, not only the first.
//!
//! A part with a mistake is left out of the policy; that is safe because one error refuses all of it.

mod peers;
mod segments;
mod services;

use std::collections::{BTreeMap, HashMap};

use super::{
    document::{At, Document, Entries, Mark, Slip, Text},
    fault::{Fault, Quoted},
    findings::Findings,
    model::{Mode, Policy},
    value,
};

use peers::MAX_PEERS;
use segments::MAX_SEGMENTS;
use services::MAX_SERVICES;

/// Turns a document into a policy. The policy counts only if `found` holds no error afterwards.
pub(super) fn validate(document: Document<'_>, found: &mut Findings<'_>) -> Policy {
    let top = Owner::unnamed(Mark::top_of(0), "this policy", &document.slips);
    found.book(document.slips);
    let name = top.require(document.name.as_ref(), "name", found);
    let name = name.map(|at| named(at, value::name, found)).unwrap_or_default();
    let mode = top.require(document.mode.as_ref(), "mode", found);
    let mode = mode.and_then(|at| take(at, value::mode, found)).unwrap_or(Mode::Enforce);
    let interfaces = interfaces(&document.interfaces, found);

    let management = document.allow_management_port.as_ref();
    let management = management.and_then(|at| take(at, value::flag, found)).unwrap_or(false);
    let entries = entries(document.services);
    top.require(entries.first(), "services", found);
    top.limit(&entries, MAX_SERVICES, "services", |(at, _)| at.mark, found);
    let service_marks: Vec<_> = entries.iter().map(|(at, _)| at.mark).collect();
    let services = services::read(entries, management, found);

    top.limit(&document.peers, MAX_PEERS, "peers", |at| at.mark, found);
    let mut peers = peers::Peers::read(document.peers, top.doubtful, found);
    let entries = self::entries(document.segments);
    top.limit(&entries, MAX_SEGMENTS, "segments", |(at, _)| at.mark, found);
    let mut reader = segments::Reader::new(&services, mode, top.doubtful);
    let segments: Vec<_> = entries
        .into_iter()
        .zip(0..)
        .take(MAX_SEGMENTS)
        .map(|((at, raw), index)| reader.segment(index, &at, raw, &mut peers, found))
        .collect();
    reader.finish(&service_marks, &segments, found);
    let peers = peers.finish(found);

    let mut unparsed = BTreeMap::new();
    for (cause, action) in self::entries(document.unparsed) {
        let cause = take(&cause, value::cause, found);
        let action = take(&action, value::action, found);
        unparsed.extend(cause.zip(action));
    }
    Policy { name, interfaces, mode, services, segments, peers, unparsed }
}

fn entries<T>(written: Option<Entries<'_, T>>) -> Vec<(At<Text<'_>>, T)> {
    written.map(|Entries(entries)| entries).unwrap_or_default()
}

/// Reads one value, or books its fault.
pub(super) fn take<T>(
    at: &At<Text<'_>>,
    read: impl Fn(&str) -> Result<T, Fault>,
    found: &mut Findings<'_>,
) -> Option<T> {
    read(&at.value.0).map_err(|fault| found.push(at.mark, fault)).ok()
}

/// The name as written, whether or not `rule` has a fault to book.
fn named(at: &At<Text<'_>>, rule: impl Fn(&str) -> Result<(), Fault>, found: &mut Findings<'_>) -> String {
    take(at, rule, found);
    at.value.0.to_string()
}

/// What a missing key, an empty list or a list too long is booked on.
pub(super) struct Owner {
    mark: Mark,
    name: String,
    /// Whether its shape has a mistake: then what seems to be missing may be what was misspelt.
    doubtful: bool,
}

impl Owner {
    fn new(kind: &str, at: &At<Text<'_>>, slips: &[Slip]) -> Self {
        let name = format!("{kind} {}", Quoted::new(&at.value.0));
        Self { mark: at.mark, name, doubtful: !slips.is_empty() }
    }

    pub(super) fn unnamed(mark: Mark, name: &str, slips: &[Slip]) -> Self {
        Self { mark, name: name.to_owned(), doubtful: !slips.is_empty() }
    }

    pub(super) fn require<T>(
        &self,
        value: Option<T>,
        key: &'static str,
        found: &mut Findings<'_>,
    ) -> Option<T> {
        if value.is_none() && !self.doubtful {
            found.push(self.mark, Fault::MissingKey { owner: self.name.clone(), key });
        }
        value
    }

    fn fill<T>(&self, list: &[T], key: &'static str, found: &mut Findings<'_>) {
        if list.is_empty() && !self.doubtful {
            found.push(self.mark, Fault::EmptyList { owner: self.name.clone(), key });
        }
    }

    /// Books a list that is too long at the first item over.
    fn limit<T>(
        &self,
        list: &[T],
        most: usize,
        what: &'static str,
        mark: impl Fn(&T) -> Mark,
        found: &mut Findings<'_>,
    ) {
        if let Some(over) = list.get(most) {
            let owner = self.name.clone();
            found.push(mark(over), Fault::TooMany { owner, what, found: list.len(), limit: most });
        }
    }
}

fn interfaces(written: &[At<Text<'_>>], found: &mut Findings<'_>) -> Vec<String> {
    let mut seen = Names::new("interface");
    for at in written {
        take(at, value::interface, found);
        seen.add(at, found);
    }
    written.iter().map(|at| at.value.0.to_string()).collect()
}

/// Names in a list, where YAML itself doesn't see that one is there twice.
struct Names<'d> {
    kind: &'static str,
    seen: HashMap<&'d str, Mark>,
}

impl<'d> Names<'d> {
    fn new(kind: &'static str) -> Self {
        Self { kind, seen: HashMap::new() }
    }

    /// Books a fault and is false if the name was there before.
    fn add(&mut self, at: &'d At<Text<'_>>, found: &mut Findings<'_>) -> bool {
        let Some(first) = self.seen.insert(&at.value.0, at.mark) else {
            return true;
        };
        let fault = Fault::DuplicateName { what: self.kind, name: Quoted::new(&at.value.0) };
        found.push_with(at.mark, fault, Some((first, "first named here")));
        false
    }
}
