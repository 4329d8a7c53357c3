//! Several documents as one: lists and names add up, single values are stated once or alike.

use std::collections::{HashMap, HashSet};

use super::{
    document::{At, Document, Entries, Mark, Text},
    fault::{Fault, Quoted},
    findings::Findings,
    validate::{Owner, take},
    value,
};

/// Merges documents in the order of their files. Each states its version, and each version is judged here.
pub(super) fn merge<'a>(documents: Vec<Document<'a>>, found: &mut Findings<'_>) -> Document<'a> {
    let owner = if documents.len() == 1 { "this policy" } else { "this file" };
    let mut whole = Document::default();
    for (document, file) in documents.into_iter().zip(0..) {
        let top = Owner::unnamed(Mark::top_of(file), owner, &document.slips);
        if let Some(version) = top.require(document.version.as_ref(), "version", found) {
            take(version, value::version, found);
        }
        whole.slips.extend(document.slips);
        once(&mut whole.name, document.name, "name", found);
        once(&mut whole.mode, document.mode, "mode", found);
        let management = document.allow_management_port;
        once(&mut whole.allow_management_port, management, "allow_management_port", found);
        // The same interface in two files is no news; twice in one is a slip, for `validate` to find.
        let known: HashSet<_> = whole.interfaces.iter().map(|at| at.value.0.to_string()).collect();
        whole.interfaces.extend(document.interfaces.into_iter().filter(|at| !known.contains(&*at.value.0)));
        whole.peers.extend(document.peers);
        extend(&mut whole.services, document.services);
        extend(&mut whole.segments, document.segments);
        extend(&mut whole.unparsed, document.unparsed);
    }
    names(whole.services.as_ref(), "service", found);
    names(whole.segments.as_ref(), "segment", found);
    if let Some(unparsed) = &mut whole.unparsed {
        actions(unparsed, found);
    }
    whole
}

/// Keeps the first of two equal values; two that differ are a conflict.
fn once<'a>(
    kept: &mut Option<At<Text<'a>>>,
    next: Option<At<Text<'a>>>,
    key: &'static str,
    found: &mut Findings<'_>,
) {
    match (kept.as_ref(), next) {
        (Some(first), Some(next)) => differ(first, &next, key.to_owned(), found),
        (None, next) => *kept = next,
        (Some(_), None) => {}
    }
}

fn differ(first: &At<Text<'_>>, next: &At<Text<'_>>, key: String, found: &mut Findings<'_>) {
    if first.value.0 != next.value.0 {
        let fault = Fault::Contradiction {
            key,
            here: Quoted::new(&next.value.0),
            there: Quoted::new(&first.value.0),
        };
        found.push_with(next.mark, fault, Some((first.mark, "first stated here")));
    }
}

fn extend<'a, T>(kept: &mut Option<Entries<'a, T>>, next: Option<Entries<'a, T>>) {
    match (kept.as_mut(), next) {
        (Some(Entries(kept)), Some(Entries(next))) => kept.extend(next),
        (None, next) => *kept = next,
        (Some(_), None) => {}
    }
}

/// Books names that are there twice, in one file or in two.
fn names<T>(entries: Option<&Entries<'_, T>>, what: &'static str, found: &mut Findings<'_>) {
    let mut seen: HashMap<&str, Mark> = HashMap::new();
    for (at, _) in entries.iter().flat_map(|Entries(entries)| entries) {
        let first = *seen.entry(&at.value.0).or_insert(at.mark);
        let name = Quoted::new(&at.value.0);
        if first.file != at.mark.file {
            let second = Some((first, "first declared here"));
            found.push_with(at.mark, Fault::Redeclared { what, name }, second);
        } else if first != at.mark {
            found.duplicate_key(at.mark, name, first);
        }
    }
}

/// Drops what another file says alike, and books what is said twice in one file or otherwise in another.
fn actions<'a>(Entries(entries): &mut Entries<'a, At<Text<'a>>>, found: &mut Findings<'_>) {
    let mut kept: Vec<(At<Text<'a>>, At<Text<'a>>)> = Vec::new();
    for (cause, action) in entries.drain(..) {
        match kept.iter().find(|(first, _)| first.value.0 == cause.value.0) {
            Some((first, _)) if first.mark.file == cause.mark.file => {
                found.duplicate_key(cause.mark, Quoted::new(&cause.value.0), first.mark);
            }
            Some((_, stated)) => {
                differ(stated, &action, format!("unparsed.{}", cause.value.0.escape_debug()), found)
            }
            None => kept.push((cause, action)),
        }
    }
    *entries = kept;
}
