//! The segments: their sources, what they grant, and whether every service is granted to someone.

use ipnet::IpNet;
use jiff::Timestamp;
use pacs_guard_common::abi::MAX_TIMED;

use super::{Names, Owner, named, peers::Peers, take};
use crate::policy::{
    document::{At, Mark, RawSegment, Text},
    fault::{Fault, Quoted, nearest},
    findings::Findings,
    model::{Mode, Segment, Service, Source},
    prefix::{Cover, prefix},
    value,
};

/// The most segments of a policy.
pub(super) const MAX_SEGMENTS: usize = 4096;

/// The most different ends of the segments that one address lies in: a drain takes one more.
const MAX_ENDS: usize = MAX_TIMED as usize - 1;

/// Reads segment after segment, and keeps what can be judged only when all are read.
pub(super) struct Reader<'s> {
    services: &'s [Service],
    mode: Mode,
    /// Every source of every segment. A million of them is usual, so no text is kept.
    seen: Vec<(IpNet, Mark, u32)>,
    /// Whether some service's name was not understood: then a service without grants is no news.
    unknown_service: bool,
}

impl<'s> Reader<'s> {
    /// Reads segments that may name `services`; `doubtful` where a key of the policy was not understood.
    pub(super) const fn new(services: &'s [Service], mode: Mode, doubtful: bool) -> Self {
        Self { services, mode, seen: vec![], unknown_service: doubtful }
    }

    pub(super) fn segment(
        &mut self,
        index: u32,
        at: &At<Text<'_>>,
        raw: RawSegment<'_>,
        peers: &mut Peers,
        found: &mut Findings<'_>,
    ) -> Segment {
        let owner = Owner::new("segment", at, &raw.slips);
        self.unknown_service |= owner.doubtful;
        let name = named(at, value::name, found);
        if let Some(description) = &raw.description {
            take(description, value::description, found);
        }
        owner.fill(&raw.sources, "sources", found);
        owner.fill(&raw.services, "services", found);
        let mode = raw.mode.as_ref().and_then(|at| take(at, value::mode, found));
        let until = raw.until.as_ref().and_then(|at| take(at, value::until, found));
        if let Some((until, at)) = until.zip(raw.until.as_ref())
            && until <= Timestamp::now()
        {
            found.push(at.mark, Fault::Ended { segment: name.clone() });
        }
        let services = self.grants(&raw.services, found);

        let count = raw.sources.len();
        let enforced = self.enforces(&services, mode);
        let sources = read(raw.sources, found, |prefix, mark, found| {
            self.seen.push((prefix, mark, index));
            if enforced && prefix.prefix_len() == 0 {
                found.push(mark, Fault::EveryAddress { prefix });
            }
        });
        let cover = Cover::new(sources.iter().map(|source| source.prefix));
        // With a source that was not understood, nothing is known to be outside.
        let whole = sources.len() == count && !owner.doubtful;
        let except = read(raw.except, found, |prefix, mark, found| {
            if whole && !cover.holds(prefix.network(), prefix.broadcast()) {
                found.push(mark, Fault::ExceptOutside { prefix, segment: name.clone() });
            }
        });
        let carved = Cover::new(except.iter().map(|source| source.prefix));
        if whole && carved.hides(&cover) {
            found.push(at.mark, Fault::Hidden { segment: name.clone() });
        }
        peers.meet(&cover, &carved, whole);
        found.book(raw.slips);
        let description = raw.description.map(|at| at.value.0.into_owned());
        Segment { name, description, sources, except, services, until, mode, place: found.place(at.mark) }
    }

    /// The services that a segment names, as indices.
    fn grants(&mut self, written: &[At<Text<'_>>], found: &mut Findings<'_>) -> Vec<usize> {
        let mut names = Names::new("service");
        let mut granted = Vec::new();
        for at in written {
            let known = self.services.iter().map(|service| service.name.as_str());
            match known.clone().position(|name| name == at.value.0) {
                Some(index) if names.add(at, found) => granted.push(index),
                Some(_) => {}
                // A policy without services has that fault already.
                None if self.services.is_empty() => self.unknown_service = true,
                None => {
                    self.unknown_service = true;
                    let name = Quoted::new(&at.value.0);
                    let (nearest, known) = match found.full() {
                        true => (None, String::new()),
                        false => (nearest(&at.value.0, known.clone()), known.collect::<Vec<_>>().join(", ")),
                    };
                    found.push(at.mark, Fault::UnknownService { name, nearest, known });
                }
            }
        }
        granted
    }

    /// Whether a refusal of any of `services` drops, for a source in a segment of this mode.
    fn enforces(&self, services: &[usize], segment: Option<Mode>) -> bool {
        services
            .iter()
            .filter_map(|index| self.services.get(*index))
            .any(|service| segment.or(service.mode).unwrap_or(self.mode) == Mode::Enforce)
    }

    /// Books services that nobody is granted, and sources that are written twice.
    ///
    /// `marks` are the places of the services, in their order.
    pub(super) fn finish(mut self, marks: &[Mark], segments: &[Segment], found: &mut Findings<'_>) {
        if !self.unknown_service {
            for (index, (service, mark)) in self.services.iter().zip(marks).enumerate() {
                if segments.iter().any(|segment| segment.services.contains(&index)) {
                    continue;
                }
                let name = service.name.clone();
                let fault = match service.mode.unwrap_or(self.mode) {
                    Mode::Enforce => Fault::EmptyAllowlist { service: name },
                    Mode::Audit => Fault::Ungranted { service: name },
                };
                found.push(*mark, fault);
            }
        }
        self.seen.sort_unstable_by_key(|(prefix, mark, _)| (*prefix, mark.start));
        for pair in self.seen.windows(2) {
            let [(first, first_mark, segment), (again, mark, _)] = pair else {
                continue;
            };
            if first == again {
                let segment = segments.get(*segment as usize).map(|segment| segment.name.clone());
                let fault = Fault::RepeatedPrefix { prefix: *again, segment: segment.unwrap_or_default() };
                found.push_with(*mark, fault, Some((*first_mark, "first named here")));
            }
        }
        self.judge_ends(segments, found);
    }

    /// Books the first prefix over whose addresses too many ends come. The prefixes are sorted, so each one comes
    /// behind those that it lies in.
    fn judge_ends(&self, segments: &[Segment], found: &mut Findings<'_>) {
        let now = Timestamp::now();
        let ending = self.seen.iter().filter_map(|(prefix, mark, segment)| {
            let segment = segments.get(*segment as usize).filter(|segment| !segment.has_ended(now))?;
            Some((*prefix, *mark, segment.until?))
        });
        let mut around: Vec<(IpNet, Timestamp)> = Vec::new();
        for (prefix, mark, until) in ending {
            while around.pop_if(|(outer, _)| !outer.contains(&prefix)).is_some() {}
            if around.iter().any(|(_, end)| *end == until) {
                continue;
            }
            around.push((prefix, until));
            if around.len() > MAX_ENDS {
                return found.push(mark, Fault::TooManyEnds { prefix, most: MAX_ENDS });
            }
        }
    }
}

/// Reads prefixes, and shows each good one to `judge`. The texts are freed on return.
fn read(
    written: Vec<At<Text<'_>>>,
    found: &mut Findings<'_>,
    mut judge: impl FnMut(IpNet, Mark, &mut Findings<'_>),
) -> Vec<Source> {
    let mut sources = Vec::with_capacity(written.len());
    for at in written {
        if let Some(prefix) = take(&at, prefix, found) {
            judge(prefix, at.mark, found);
            sources.push(Source { prefix, place: found.place(at.mark) });
        }
    }
    sources
}
